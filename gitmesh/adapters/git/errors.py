"""What git says, put into words for people, without secrets.

The message of an error holds what GitMesh knows: the class of the fault, the host, the HTTP status. Git's own
words, and those of the server, are its detail: they may hold request ids and come in any order.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from enum import StrEnum
from pathlib import Path

from gitmesh.errors import SourceError

_LENGTH = 300


class Reason(StrEnum):
    """Why a git command failed."""

    CREDENTIALS = "credentials"
    DENIED = "denied"
    REFUSED = "refused"
    NOT_FOUND = "not found"
    GONE = "gone"
    NO_GIT_SERVER = "no git server"
    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"
    TIMEOUT = "timeout"
    TOO_LARGE = "too large"
    UNSAFE = "unsafe"
    STORE = "store"
    DISK = "disk"
    OTHER = "other"


class GitError(SourceError):
    """A git command failed. The texts are redacted."""

    def __init__(
        self, message: str, reason: Reason = Reason.OTHER, *, detail: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.reason = reason


_TABLE: tuple[tuple[str, Reason, str], ...] = (
    (
        r"could not read Username|could not read Password",
        Reason.CREDENTIALS,
        "the server refused access without valid credentials",
    ),
    (r"Authentication failed|error: 401|HTTP 401", Reason.CREDENTIALS, "the server refused the credentials"),
    (
        r"UNPROTECTED PRIVATE KEY|bad permissions",
        Reason.CREDENTIALS,
        "ssh refuses the key file: others may read it (chmod 600)",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        Reason.CREDENTIALS,
        "the server refused the SSH key",
    ),
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION",
        Reason.CERTIFICATE,
        "the server's host key is not the one in knownHostsFile",
    ),
    (
        r"unexpected TLS packet|wrong version number|packet length too long|record layer failure",
        Reason.UNREACHABLE,
        "the host does not speak TLS at this port; is it one for http?",
    ),
    (
        (
            r"SSL (?:certificate|connect|peer|routines|_ERROR)|server certificate|gnutls_|TLS"
            r" (?:connect|handshake)|certificate verif|CAfile"
        ),
        Reason.CERTIFICATE,
        "the server's certificate could not be verified (see auth.caFile)",
    ),
    (r"error: 403|HTTP 403|denied to|not allowed to push", Reason.DENIED, "the server denied access"),
    (r"dubious ownership", Reason.NOT_FOUND, "the folder belongs to another user, so git refuses to read it"),
    (
        r"redirection|(?:error:|HTTP) 30[12378]",
        Reason.NOT_FOUND,
        "the server redirects to another address; redirects are not followed, write the final URL",
    ),
    (
        r"couldn't find remote ref|not our ref|unadvertised object",
        Reason.GONE,
        "the repository no longer has this branch or commit",
    ),
    (r"No space left on device", Reason.DISK, "No space left on device"),
    (r"Read-only file system", Reason.DISK, "Read-only file system"),
    (r"Permission denied|insufficient permission|Operation not permitted", Reason.DISK, "Permission denied"),
    (r"Disk quota exceeded", Reason.DISK, "Disk quota exceeded"),
    (r"Input/output error", Reason.DISK, "Input/output error"),
    (
        r"not found|error: 404|does not appear to be a git repository|does not exist|invalid gitfile format",
        Reason.NOT_FOUND,
        "the repository was not found",
    ),
    (
        r"Could not resolve (?:host|proxy)|Name or service not known",
        Reason.UNREACHABLE,
        "the name of the host could not be resolved",
    ),
    (
        (
            r"Failed to connect|Connection (?:refused|timed out|reset)|No route to host|unreachable|[Cc]ould"
            r" ?n.t connect"
        ),
        Reason.UNREACHABLE,
        "the host did not answer",
    ),
    (
        r"error: 5\d\d|HTTP 5\d\d|Could not read from remote|hung up|early EOF|Empty reply|RPC failed",
        Reason.UNREACHABLE,
        "the server failed or broke the connection",
    ),
    (r"error: 4\d\d|HTTP 4\d\d", Reason.UNREACHABLE, "the server refused to answer"),
    (
        (
            r"is this a git repository|git-http-push failed|protocol error|bad line length|expected flush"
            r" after|invalid server response"
        ),
        Reason.NO_GIT_SERVER,
        "the host answered, but not as a Git server does",
    ),
    (
        r"signal 25|File too large|File size limit",
        Reason.TOO_LARGE,
        "the repository is larger than the limit",
    ),
    (
        (
            r"fsck error|error in (?:tree|commit|tag|blob|object)|:"
            r" (?:hasDot|fullPathname|gitmodules|nullSha1|badTree|duplicateEntries)"
        ),
        Reason.UNSAFE,
        "the repository holds objects that git refuses",
    ),
    (
        r"\.lock'|corrupt|bad object|[Bb]ad tree|not a git repository|unable to read|inflate|missing"
        r" (?:blob|tree|object)|"
        r"not a (?:tree|valid object)|packfile|loose object|unable to parse|could not (?:open|read)|bad"
        r" config|did not send all",
        Reason.STORE,
        "the local copy of the repository is damaged",
    ),
)
"""Pattern in git's own (English) words, reason, what we say; the first that matches counts."""

_COMPILED = tuple((re.compile(pattern), reason, text) for pattern, reason, text in _TABLE)
# Faults of this machine, so that no server is to blame for them.
_LOCAL = frozenset({Reason.DISK, Reason.STORE})
_STATUS = re.compile(r"(?:error:|HTTP) ([1-5]\d\d)\b")
_REMOTE_WORDS = re.compile(r"^remote:.*$", re.MULTILINE)
_USERINFO = re.compile(r"//[^/@\s'\"]+@")
_HEADER = re.compile(r"(?i)(authorization:\s*)[^\r\n'\"]+")


def failure(output: str, secrets: Iterable[str], *, host: str = "", store: Path | None = None) -> GitError:
    """The error for what a failed command printed on stderr. `host` is the one that was talked to, "" for
    none.
    """
    # Lines that begin with `remote:` are the server's prose, which must not choose the class of the fault.
    own = _REMOTE_WORDS.sub("", output)
    reason, text = _classed(own) or _classed(output, but=_LOCAL) or (Reason.OTHER, "git failed")
    if reason is Reason.DISK and store is not None:
        return unwritable(store, text, redact(output, secrets))
    # A server that fails answers 502 now and 503 then: one lasting fault must not have a text for each.
    status = _STATUS.search(own) if reason is not Reason.UNREACHABLE else None
    known = [host] if host and reason not in _LOCAL else []
    known += [f"HTTP {status[1]}"] if status else []
    return GitError(f"{text} ({', '.join(known)})" if known else text, reason, detail=redact(output, secrets))


def unwritable(store: Path, cause: str, detail: str = "") -> GitError:
    """The error for a disk that refuses; `cause` in the words of the operating system."""
    return GitError(f"the store {store} cannot be written: {cause}", Reason.DISK, detail=detail)


def _classed(text: str, but: Container[Reason] = ()) -> tuple[Reason, str] | None:
    """The first row of the table that matches, without the reasons that the text cannot speak of."""
    return next(
        ((reason, said) for pattern, reason, said in _COMPILED if reason not in but and pattern.search(text)),
        None,
    )


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """One short printable line without credentials: neither the given ones nor any in URLs and headers."""
    # The longest first: a secret may be part of another one, of which the rest would then show.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _HEADER.sub(r"\1***", _USERINFO.sub("//***@", text))
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _LENGTH else line[:_LENGTH] + "…"
