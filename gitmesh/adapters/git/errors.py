"""What git says, put into words for people, without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from gitmesh.errors import SourceError

_LENGTH = 300


class Reason(StrEnum):
    """Why a git command failed."""

    CREDENTIALS = "credentials"
    DENIED = "denied"
    NOT_FOUND = "not found"
    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"
    TIMEOUT = "timeout"
    TOO_LARGE = "too large"
    UNSAFE = "unsafe"
    STORE = "store"
    OTHER = "other"


class GitError(SourceError):
    """A git command failed. The message is redacted."""

    def __init__(self, message: str, reason: Reason = Reason.OTHER) -> None:
        super().__init__(message)
        self.reason = reason


_TABLE: tuple[tuple[str, Reason, str], ...] = (
    (r"could not read Username|could not read Password", Reason.CREDENTIALS, "the server refused access without valid credentials"),
    (r"Authentication failed|error: 401|HTTP 401", Reason.CREDENTIALS, "the server refused the credentials"),
    (r"UNPROTECTED PRIVATE KEY|bad permissions", Reason.CREDENTIALS, "ssh refuses the key file: others may read it (chmod 600)"),
    (r"Permission denied \(|Too many authentication failures", Reason.CREDENTIALS, "the server refused the SSH key"),
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION",
        Reason.CERTIFICATE,
        "the server's host key is not the one in knownHostsFile",
    ),
    (
        r"SSL (?:certificate|connect|peer|routines|_ERROR)|server certificate|gnutls_|TLS (?:connect|handshake)|certificate verif|CAfile",
        Reason.CERTIFICATE,
        "the server's certificate could not be verified (see auth.caFile)",
    ),
    (r"error: 403|HTTP 403|denied to|not allowed to push", Reason.DENIED, "the server denied access (403)"),
    (r"dubious ownership", Reason.NOT_FOUND, "the folder belongs to another user, so git refuses to read it"),
    (
        r"redirection|error: 30[1278]",
        Reason.NOT_FOUND,
        "the server redirects to another address; redirects are not followed, write the final URL",
    ),
    (r"couldn't find remote ref|not our ref", Reason.NOT_FOUND, "the repository no longer has this branch or commit"),
    (r"not found|error: 404|does not appear to be a git repository|does not exist", Reason.NOT_FOUND, "the repository was not found"),
    (r"Could not resolve (?:host|proxy)|Name or service not known", Reason.UNREACHABLE, "the name of the host could not be resolved"),
    (
        r"Failed to connect|Connection (?:refused|timed out|reset)|No route to host|unreachable|[Cc]ould ?n.t connect",
        Reason.UNREACHABLE,
        "the host did not answer",
    ),
    (
        r"error: 5\d\d|Could not read from remote|hung up|early EOF|Empty reply|RPC failed",
        Reason.UNREACHABLE,
        "the server failed or broke the connection",
    ),
    (r"signal 25|File too large|File size limit", Reason.TOO_LARGE, "the repository is larger than the limit"),
    (
        r"fsck error|error in (?:tree|commit|tag|blob|object)|: (?:hasDot|fullPathname|gitmodules|nullSha1|badTree|duplicateEntries)",
        Reason.UNSAFE,
        "the repository holds objects that git refuses",
    ),
    (
        r"\.lock'|corrupt|bad object|[Bb]ad tree|not a git repository|unable to read|inflate|missing (?:blob|tree|object)|"
        r"not a (?:tree|valid object)|packfile|loose object|unable to parse|could not (?:open|read)|bad config|did not send all",
        Reason.STORE,
        "the local copy of the repository is damaged",
    ),
    (r"No space left|Read-only file system|Permission denied", Reason.OTHER, "the local copy of the repository cannot be written"),
)
"""Pattern in git's own (English) words, reason, what we say; the first that matches counts."""

_COMPILED = tuple((re.compile(pattern), reason, text) for pattern, reason, text in _TABLE)
_USERINFO = re.compile(r"//[^/@\s'\"]+@")
_DURATION = re.compile(r" after \d+ ms\b")
"""Equal failures must read equal: a text with a duration in it would make a status commit of every try."""
_HEADER = re.compile(r"(?i)(authorization:\s*)[^\r\n'\"]+")


def failure(output: str, secrets: Iterable[str]) -> GitError:
    """The error for what a failed command printed on stderr."""
    shown = redact(output, secrets)
    for pattern, reason, text in _COMPILED:
        if pattern.search(output):
            return GitError(f"{text} ({shown})" if shown else text, reason)
    return GitError(f"git failed: {shown}" if shown else "git failed without a word")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """One short printable line without credentials: neither the given ones nor any in URLs and headers."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _DURATION.sub("", _HEADER.sub(r"\1***", _USERINFO.sub("//***@", text)))
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _LENGTH else line[:_LENGTH] + "…"
