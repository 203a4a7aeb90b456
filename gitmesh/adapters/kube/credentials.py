"""Who we are and whom we trust: an API server's address, its CA, and where our token or certificate comes
from.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import urlsplit

from gitmesh.adapters.kube.errors import clean
from gitmesh.adapters.kube.tokens import Certificate, FileToken, TokenSource
from gitmesh.confidential import Confidential
from gitmesh.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
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
    # All three: a file that is replaced within a tick of the clock, by one as long, has another inode.
    return found.st_mtime_ns, found.st_size, found.st_ino


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
        # Loopback alone, and without credentials: http to anybody else would hand the token to whoever
        # listens on the way.
        plain = (
            parts.scheme == "http" and _is_loopback(host) and self.tokens is None and self.certificate is None
        )
        # A user in the address would be sent, and shown in errors; a query would end up in every path.
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
    # In clusters of IPv6 the variable holds the bare address, without brackets.
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

    # mkdtemp's folder is for its owner alone (0700), so the key in it needs no mode of its own.
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
