"""Who we are and whom we trust: an API server's address, its CA, and where our token or certificate comes
from.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from gitmesh.adapters.kube.errors import clean
from gitmesh.confidential import Confidential
from gitmesh.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitmesh.adapters.kube.deadline import Deadline

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EMPTY_TOKEN_WAIT = 1.0
_MOST_TOKEN_BYTES = 64 * 1024
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")
_PATH = re.compile(r"[!-~]*")
_SERVER_NAME = re.compile(r"[\w:][\w.:-]*\Z")
Stamp: TypeAlias = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """What changes with a file's content (mtime, size, inode), symbolic links followed; None where there is
    no file.

    Kubernetes changes a mounted Secret by swapping a link to a folder, which no time of the link itself
    shows.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):  # a path with a NUL in it is a ValueError
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Certificate(Confidential, frozen=True):
    """A client certificate: PEM as bytes, or the files that hold it."""

    chain: bytes | Path
    key: bytes | Path


class TokenSource(Protocol):
    """Where bearer tokens come from."""

    def token(self, renew: bool, deadline: Deadline) -> str:
        """A token, never empty ("" only where the source gave a certificate). `renew`: the last one was
        refused.

        Raises ClusterError, and TimeoutError at the deadline.
        """

    def certificate(self) -> Certificate | None:
        """The client certificate that came instead of a token, if one did."""


class StaticToken(Confidential, frozen=True):
    """A token that stands in the kubeconfig."""

    value: str

    def token(self, renew: bool, deadline: Deadline) -> str:  # noqa: ARG002 - the protocol's signature; a fixed token cannot be renewed
        """The token."""
        return _checked(self.value, "the kubeconfig")

    def certificate(self) -> None:
        """None."""


class FileToken(Struct, frozen=True):
    """A token in a file, read at each use: the kubelet rotates it. `wait` is the pause before a second look,
    in seconds.
    """

    path: Path
    wait: float = EMPTY_TOKEN_WAIT

    def token(self, renew: bool, deadline: Deadline) -> str:  # noqa: ARG002 - the protocol's signature; each use reads the file anyhow
        """The content; a file that is absent or empty for an instant is looked at once more."""
        found = self._read()
        if not found:
            deadline.pause(self.wait)
            found = self._read()
        if not found:
            text = f"the token file {clean(self.path, 200)} is missing, unreadable or empty"
            raise ClusterError(
                text, code="GM502", hint="Look who writes or mounts it, and whether GitMesh may read it."
            )
        return _checked(found, f"the token file {clean(self.path, 200)}")

    def certificate(self) -> None:
        """None."""

    def _read(self) -> str:
        try:
            with self.path.open("rb") as handle:
                return handle.read(_MOST_TOKEN_BYTES).decode("ascii", errors="replace").strip()
        except (OSError, ValueError):  # a path with a NUL in it is a ValueError
            return ""


class Exec:
    """Credentials made by a program that the kubeconfig names, run through the official client's
    ExecProvider.

    What it made is kept until the server refuses it. Only configured with `allowExec: true`.
    """

    def __init__(self, spec: Mapping[str, Any], cluster: Mapping[str, Any], folder: Path) -> None:
        self.spec = spec
        self.cluster = cluster
        self.folder = folder
        self._made: Mapping[str, Any] | None = None

    def token(self, renew: bool, deadline: Deadline) -> str:
        """Run the program, unless what it made last is still good."""
        if self._made is None or renew:
            self._made = deadline.call(self._run)
        token = self._made.get("token")
        if not token and self.certificate() is None:
            raise ClusterError(
                "the exec credential program gave neither a token nor a certificate", code="GM502"
            )
        return _checked(str(token), "the exec credential program") if token else ""

    def certificate(self) -> Certificate | None:
        """What it gave besides a token."""
        made = self._made or {}
        chain, key = made.get("clientCertificateData"), made.get("clientKeyData")
        return (
            Certificate(chain.encode(), key.encode())
            if isinstance(chain, str) and isinstance(key, str)
            else None
        )

    def _run(self) -> Mapping[str, Any]:
        # Imported here: the official client takes 300 ms to load, and nobody else needs it.
        from kubernetes.config.config_exception import ConfigException
        from kubernetes.config.exec_provider import ExecProvider
        from kubernetes.config.kube_config import ConfigNode

        try:
            made = ExecProvider(
                ConfigNode("exec", dict(self.spec)),
                str(self.folder),
                ConfigNode("cluster", dict(self.cluster)),
            ).run()
        except (ConfigException, OSError, ValueError) as error:
            # Output of the program may hold credentials, so only its kind of failure is told.
            text = (
                str(error)
                if isinstance(error, ConfigException) and "returned" in str(error)[:24]
                else type(error).__name__
            )
            failed = f"the exec credential program failed: {clean(text.split('.')[0], 120)}"
            raise ClusterError(
                failed,
                code="GM502",
                hint="Run the program as the user that GitMesh runs as, and see what it says.",
            ) from None
        if not isinstance(made, dict):
            raise ClusterError("the exec credential program answered no status", code="GM502")
        return made


class Endpoint(Confidential, frozen=True, kw_only=True):
    """An API server and our credentials there. `ca` None means the system's certificates; `server_name`
    overrides SNI.

    It is an `Access` that never changes.
    """

    server: str
    server_name: str = ""
    ca: bytes | Path | None = None
    tokens: TokenSource | None = None
    certificate: Certificate | None = None

    def endpoint(self, *, refused: bool = False) -> Self:  # noqa: ARG002 - the protocol's signature
        """Itself."""
        return self

    @property
    def fault(self) -> None:
        """None: nothing is read."""

    def is_at(self, other: Endpoint) -> bool:
        """Whether both are the same address under the same name."""
        return (self.server, self.server_name) == (other.server, other.server_name)

    def stamps(self) -> tuple[Stamp | None, ...]:
        """The stamps of the files that hold our trust and certificate."""
        certificate = (self.certificate.chain, self.certificate.key) if self.certificate else ()
        return tuple(stamp(part) for part in (self.ca, *certificate) if isinstance(part, Path))

    def check(self, where: str) -> None:
        """Raise ClusterError unless the address is https, or http on loopback without credentials (a local
        kubectl proxy), and `server_name` is a name."""
        if not self._is_fit():
            raise _misnamed(where, "`server` must be a plain https address")
        if self.server_name and not (_SERVER_NAME.match(self.server_name) and _is_host(self.server_name)):
            raise _misnamed(where, "`tls-server-name` is no name of a server")

    def _is_fit(self) -> bool:
        try:
            parts = urlsplit(self.server)
            host, _ = parts.hostname or "", parts.port
        except ValueError:  # its text holds the whole address, and a password in it
            return False
        plain = (
            parts.scheme == "http" and _is_loopback(host) and self.tokens is None and self.certificate is None
        )
        bare = not ("@" in parts.netloc or parts.query or parts.fragment) and _PATH.fullmatch(parts.path)
        return bool(bare) and _is_host(host) and (parts.scheme == "https" or plain)

    def context(self) -> ssl.SSLContext:
        """A TLS context with our trust and certificate. Raises ClusterError where one of them cannot be
        read.
        """
        try:
            context = ssl.create_default_context(**_trust(self.ca))
            certificate = self.certificate or (self.tokens.certificate() if self.tokens else None)
            if certificate is not None:
                with _files(certificate) as (chain, key):
                    context.load_cert_chain(chain, key, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise self._unfit(error) from None
        return context

    def _unfit(self, error: Exception) -> ClusterError:
        certificate = (self.certificate.chain, self.certificate.key) if self.certificate else ()
        files = ", ".join(clean(part, 200) for part in (self.ca, *certificate) if isinstance(part, Path))
        text = f"the CA or client certificate cannot be used: {clean(type(error).__name__)}"
        hint = (
            f"Look at {files}: are they there, whole, and fit together?"
            if files
            else "Look at their data in the kubeconfig: is it PEM?"
        )
        return ClusterError(text, code="GM502", hint=hint)


def in_cluster(environment: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Endpoint:
    """The cluster that this process runs in. Raises ClusterError outside of one."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (folder / "ca.crt").is_file():
        text = "inCluster: this process does not run in a pod with a ServiceAccount token"
        raise ClusterError(
            text,
            retryable=False,
            code="GM502",
            hint="Run it in a pod with one, or name a kubeconfig instead.",
        )
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Endpoint(server=server, ca=folder / "ca.crt", tokens=FileToken(folder / "token"))


def _misnamed(where: str, text: str) -> ClusterError:
    return ClusterError(
        f"{clean(where, 200)}: {text}", retryable=False, code="GM502", hint="Correct it in the kubeconfig."
    )


def _trust(ca: bytes | Path | None) -> dict[str, Any]:
    if ca is None:
        return {}
    return {"cafile": str(ca)} if isinstance(ca, Path) else {"cadata": ca.decode("ascii")}


def _no_password() -> str:
    """An encrypted key is refused rather than asked for at a terminal."""
    return ""


@contextlib.contextmanager
def _files(certificate: Certificate) -> Iterator[tuple[str, str]]:
    """Paths of both parts: the standard library loads them from files only, so bytes lie in a private folder
    meanwhile.
    """
    import tempfile  # with all the packers that it loads; most credentials are tokens

    with tempfile.TemporaryDirectory(prefix="gitmesh-") as folder:
        paths = []
        for name, part in (("chain", certificate.chain), ("key", certificate.key)):
            path = part if isinstance(part, Path) else Path(folder) / name
            if isinstance(part, bytes):
                path.write_bytes(part)
            paths.append(str(path))
        yield paths[0], paths[1]


def _is_host(name: str) -> bool:
    """Whether it can be asked for: parts of an international name may be too long, or empty."""
    try:
        return bool(name if name.isascii() else name.encode("idna"))
    except UnicodeError:
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(token: str, where: str) -> str:
    """The token, unless it cannot stand in a header. The text never shows it."""
    if not _TOKEN.match(token):
        raise ClusterError(
            f"the token of {where} is empty or holds characters that no token has", code="GM502"
        )
    return token
