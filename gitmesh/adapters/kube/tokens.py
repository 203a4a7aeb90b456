"""Where bearer tokens come from: the kubeconfig, a file that is rotated, or a program; none is ever shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from gitmesh.adapters.kube.errors import clean
from gitmesh.confidential import Confidential
from gitmesh.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.adapters.kube.deadline import Deadline
EMPTY_TOKEN_WAIT = 1.0
_MOST_TOKEN_BYTES = 64 * 1024
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")


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

    # The protocol's signature; a fixed token cannot be renewed.
    def token(self, renew: bool, deadline: Deadline) -> str:  # noqa: ARG002
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

    # The protocol's signature; each use reads the file anyhow.
    def token(self, renew: bool, deadline: Deadline) -> str:  # noqa: ARG002
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


def _checked(token: str, where: str) -> str:
    """The token, unless it cannot stand in a header."""
    if not _TOKEN.match(token):
        raise ClusterError(
            # The error never shows the token: its text ends up in logs and findings.
            f"the token of {where} is empty or holds characters that no token has",
            code="GM502",
        )
    return token
