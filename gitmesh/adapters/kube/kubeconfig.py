"""A reader of kubeconfig files that knows exactly what it honours.

The official client's loader runs exec plug-ins while loading and honours insecure-skip-tls-verify and
proxy-url; a file that somebody else may write must not decide that. Whatever this reader does not know is
refused, never ignored.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from gitmesh.adapters.kube.credentials import Endpoint
from gitmesh.adapters.kube.errors import clean
from gitmesh.adapters.kube.tokens import Certificate, Exec, FileToken, StaticToken, TokenSource
from gitmesh.errors import ClusterError
from gitmesh.yaml_documents import DocumentError, read_documents

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_BYTES = 1024 * 1024
_CLUSTER_FIELDS = frozenset(
    {
        "server",
        "certificate-authority",
        "certificate-authority-data",
        "tls-server-name",
        "disable-compression",
        "extensions",
    }
)
_USER_FIELDS = frozenset(
    {
        "token",
        "tokenFile",
        "client-certificate",
        "client-certificate-data",
        "client-key",
        "client-key-data",
        "exec",
        "extensions",
    }
)
_OFF = (None, "", False)


def read_kubeconfig(path: Path, *, context: str | None = None, allow_exec: bool = False) -> Endpoint:
    """The endpoint of one context; files that it names are relative to the kubeconfig, as kubectl reads them.

    Raises ClusterError (GM502) for everything that is missing, unknown or refused; the text never holds a
    value of a secret.
    """
    try:
        return _KubeconfigReader(path, _load(path), allow_exec).endpoint(context)
    except FileNotFoundError:
        raise _bad(
            path,
            "does not exist",
            "Put it there, or correct `path`, which starts at the folder of gitmesh.yaml.",
        ) from None
    except OSError as error:
        text = f"cannot be read: {error.strerror or 'error'}"
        raise _bad(path, text, "Let the user that GitMesh runs as read the file.") from None
    except DocumentError as error:  # its text names a line and never what stands there, which may be a token
        raise _bad(path, f"cannot be used: {error}") from None


def _bad(path: Path, text: str, hint: str = "") -> ClusterError:
    advice = (
        hint
        or "Mend the file; docs/configuration.md says under `clusters.kubeconfig` what of it is honoured."
    )
    return ClusterError(f"kubeconfig {clean(path, 200)} {text}", retryable=False, code="GM502", hint=advice)


def _load(path: Path) -> object:
    with path.open("rb") as handle:
        # One byte more than allowed tells "too large" from "just as large" without reading a whole device.
        content = handle.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise _bad(path, "is larger than 1 MiB")
    documents = read_documents(content)
    if len(documents) != 1:
        raise _bad(path, f"holds {len(documents)} documents, not one")
    return documents[0].value


class _KubeconfigReader:
    """One file; every failure names the place in it, never a value."""

    def __init__(self, path: Path, content: object, allow_exec: bool) -> None:
        self._path = path
        self._content = self._mapping(content, "the file")
        self._allow_exec = allow_exec

    def endpoint(self, context: str | None) -> Endpoint:
        """The endpoint behind a context."""
        name = context or self._content.get("current-context")
        if not name:
            raise self._fail("has no current-context", "Name one under `context` beside `path`.")
        chosen = self._entry("contexts", "context", name)
        cluster = self._entry("clusters", "cluster", chosen.get("cluster"))
        user = self._entry("users", "user", chosen.get("user")) if chosen.get("user") else {}
        self._only(cluster, _CLUSTER_FIELDS, "cluster")
        self._only(user, _USER_FIELDS, "user")
        found = Endpoint(
            server=self._text(cluster, "server", needed=True),
            server_name=self._text(cluster, "tls-server-name"),
            ca=self._pem(cluster, "certificate-authority"),
            tokens=self._tokens(user, cluster),
            certificate=self._certificate(user),
        )
        found.check(str(self._path))
        return found

    def _tokens(self, user: Mapping[str, object], cluster: Mapping[str, object]) -> TokenSource | None:
        if user.get("exec"):
            return self._exec(self._mapping(user["exec"], "exec"), cluster)
        if user.get("tokenFile"):  # wins over `token`, as in kubectl
            return FileToken(self._near(self._text(user, "tokenFile")))
        token = self._text(user, "token")
        return StaticToken(token) if token else None

    def _exec(self, spec: Mapping[str, object], cluster: Mapping[str, object]) -> Exec:
        if not self._allow_exec:
            text = "makes its credentials by running a program (`exec`), which needs `allowExec: true`"
            raise self._fail(
                text, "Set it beside `path` if you trust that program, or give the user a token."
            )
        for name in ("command", "apiVersion"):
            self._text(spec, name, needed=True)
        return Exec(spec=spec, cluster=cluster, folder=self._path.parent)

    def _certificate(self, user: Mapping[str, object]) -> Certificate | None:
        certificate, key = self._pem(user, "client-certificate"), self._pem(user, "client-key")
        # Half a pair would be anonymous to the server, which then refuses with words about rights, not
        # about the file.
        if (certificate is None) != (key is None):
            raise self._fail("needs both client-certificate and client-key, or neither")
        return (
            Certificate(chain=certificate, key=key) if certificate is not None and key is not None else None
        )

    def _pem(self, section: Mapping[str, object], name: str) -> bytes | Path | None:
        """Content of `<name>-data` decoded, or the path in `<name>`."""
        data = self._text(section, f"{name}-data")
        # Data counts before a path, as in kubectl.
        if data:
            try:
                # Without `validate` characters that are none of base64 are skipped: what is damaged would
                # be decoded to something else, and fail far from its cause.
                return base64.b64decode(data, validate=True)
            except (binascii.Error, ValueError):
                raise self._fail(f"has {name}-data that is not base64") from None
        path = self._text(section, name)
        return self._near(path) if path else None

    def _near(self, path: str) -> Path:
        # Not the working directory: a kubeconfig is moved as a folder with its certificates (client-go,
        # clientcmd, ResolveLocalPaths).
        return self._path.parent / path

    def _entry(self, plural: str, singular: str, name: object) -> Mapping[str, object]:
        found = self._content.get(plural)
        entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
        for entry in entries:
            if entry.get("name") == name:
                return self._mapping(entry.get(singular), f"{singular} {clean(name, 80)}")
        known = ", ".join(sorted(clean(entry.get("name"), 80) for entry in entries)) or "none"
        raise self._fail(f"has no {singular} {clean(name, 80)!r}; known: {known}")

    def _only(self, section: Mapping[str, object], known: frozenset[str], what: str) -> None:
        for field, value in section.items():
            # `insecure-skip-tls-verify: false` says what holds anyway, so what is off is let stand.
            if field not in known and value not in _OFF:
                raise self._fail(
                    f"sets `{clean(field, 80)}` of its {what}, which GitMesh does not honour; remove it"
                )

    def _text(self, section: Mapping[str, object], name: str, *, needed: bool = False) -> str:
        value = section.get(name)
        if value in (None, "") and not needed:
            return ""
        if not isinstance(value, str) or not value.strip() or "\n" in value.strip():
            raise self._fail(f"needs `{name}` as one line of text")
        return value.strip()

    def _mapping(self, value: object, what: str) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise self._fail(f"is not a kubeconfig: {what} is no mapping")
        return value

    def _fail(self, text: str, hint: str = "") -> ClusterError:
        return _bad(self._path, text, hint)
