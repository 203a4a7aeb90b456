"""The two processes of a cluster, etcd and kube-apiserver, and their life on fixed loopback ports."""

from __future__ import annotations

import http.client
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab import audit
from tests.lab.apiclient import ApiClient
from tests.lab.build import Binaries
from tests.lab.process import LOOPBACK, LabError, Process, free_ports, hold_port, wait_until

READY_SECONDS = 600.0


class ControlPlane:
    """Both processes with their files in one folder; whoever makes one must close it."""

    def __init__(
        self,
        binaries: Binaries,
        folder: Path,
        admin_token: str,
        users: Mapping[str, tuple[str, Sequence[str]]],
        *,
        default_accounts: bool = False,
    ) -> None:
        """``users`` maps a name to its token and groups. With ``default_accounts`` a pod that names no
        ServiceAccount gets the namespace's own, which controllers must make.
        """
        self._default_accounts = default_accounts
        self._binaries = binaries
        self._folder = folder
        self._etcd: Process | None = None
        self._server: Process | None = None
        self._held: socket.socket | None = None
        self.port, self._etcd_port, self._peer_port = free_ports(3)
        self.ca_file = folder / "certs" / "apiserver.crt"
        self.audit_log = folder / "audit.log"
        self.client = ApiClient(self.port, self.ca_file, admin_token)
        self._write_files(users)

    def launch(self) -> None:
        """Start both and wait until the server is ready."""
        self._start_etcd()
        self._start_server()
        self._wait_ready()

    def close(self) -> None:
        """End both at once; harmless when repeated."""
        for process in (self._server, self._etcd):
            if process is not None:
                process.kill()
        self._release_port()

    @property
    def running(self) -> bool:
        """Whether the API server's process is there (paused or not)."""
        return self._server is not None and self._server.running

    def stop(self) -> None:
        """End the API server but keep its port from others, so that it can come back there."""
        if self._server is not None and self._server.running:
            self._server.kill()
            self._held = hold_port(self.port)

    def start(self) -> None:
        """Start the API server again on its port and its data."""
        if self.running:
            raise LabError("the API server runs already")
        self._release_port()
        self._start_server()
        self._wait_ready()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the API server alone."""
        if self._server is not None:
            self._server.signal(number)

    def is_stopped(self) -> bool:
        """Whether the API server hangs: the signal is delivered a moment after it was sent."""
        return self._server is not None and self._server.is_stopped()

    def _start_etcd(self) -> None:
        client = f"http://{LOOPBACK}:{self._etcd_port}"
        peer = f"http://{LOOPBACK}:{self._peer_port}"
        command: list[str | Path] = [
            self._binaries.etcd,
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        self._etcd = Process(command, self._folder / "etcd.log")

    def _start_server(self) -> None:
        certs = self._folder / "certs"
        # The server makes a CA, a certificate for 127.0.0.1 and this key by itself, before it reads the
        # signing key: so one key serves both ends and nothing else has to make one.
        key = certs / "apiserver.key"
        command: list[str | Path] = [
            self._binaries.apiserver,
            f"--etcd-servers=http://{LOOPBACK}:{self._etcd_port}",
            f"--secure-port={self.port}",
            f"--bind-address={LOOPBACK}",
            f"--cert-dir={certs}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            *([] if self._default_accounts else ["--disable-admission-plugins=ServiceAccount"]),
            # A loopback address cannot be published as the endpoint of the Service "kubernetes".
            f"--advertise-address={LOOPBACK}",
            "--endpoint-reconciler-type=none",
            f"--audit-policy-file={self._folder / 'audit-policy.yaml'}",
            f"--audit-log-path={self.audit_log}",
        ]
        self._server = Process(command, self._folder / "kube-apiserver.log")

    def _wait_ready(self) -> None:
        wait_until(self._ready, "ready API server", READY_SECONDS)

    def _ready(self) -> bool:
        """Whether /readyz says so; fails at once when one of the processes has died."""
        for process in (self._etcd, self._server):
            if process is not None:
                process.check()
        if not self.ca_file.exists():
            return False
        try:
            return self.client.request("GET", "/readyz", timeout=5.0).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _release_port(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def _write_files(self, users: Mapping[str, tuple[str, Sequence[str]]]) -> None:
        (self._folder / "certs").mkdir()
        audit.write_policy(self._folder / "audit-policy.yaml")
        lines = [f'{token},{name},{name},"{",".join(groups)}"\n' for name, (token, groups) in users.items()]
        tokens = self._folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text("".join(lines), encoding="utf-8")
