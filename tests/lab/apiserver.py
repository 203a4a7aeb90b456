"""A real kube-apiserver with a real etcd on loopback, for as long as a ``with`` block lasts."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.lab import audit
from tests.lab.apiclient import JSON, ApiClient, LabResponse, Object
from tests.lab.audit import AuditEvent
from tests.lab.build import Binaries
from tests.lab.controlplane import ControlPlane
from tests.lab.process import LOOPBACK, LabError, PortTakenError, wait_until

ADMIN = "admin"
AUDIT_SECONDS = 10.0


class ApiServer:
    """One cluster: no controllers run in it (see `controllers.py` for those), so namespaces are not emptied
    and nothing is collected.

    Besides ``admin`` (group system:masters) it knows the given users with their groups; RBAC is on.
    """

    def __init__(
        self,
        binaries: Binaries,
        *,
        name: str = "lab",
        users: Mapping[str, Sequence[str]] | None = None,
        parent: Path | None = None,
        default_accounts: bool = False,
    ) -> None:
        """`parent` is where the folder of this run is made (default: the system's folder for temporary
        files). `default_accounts` is for a cluster with controllers: pods get a ServiceAccount.
        """
        self._default_accounts = default_accounts
        self.name = name
        self._parent = parent
        self._binaries = binaries
        everybody = {ADMIN: ("system:masters",), **(users or {})}
        self._users = {user: (secrets.token_hex(16), groups) for user, groups in everybody.items()}
        self._folder: Path | None = None
        self._plane: ControlPlane | None = None

    def __enter__(self) -> Self:
        """Start and wait until ready; once more if a chosen port was lost to somebody else."""
        try:
            self._launch()
        except PortTakenError:
            self.close()
            self._launch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _launch(self) -> None:
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="gitmesh-lab-", dir=self._parent))
            self._plane = ControlPlane(
                self._binaries,
                self._folder,
                self.token(),
                self._users,
                default_accounts=self._default_accounts,
            )
            self._plane.launch()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End everything and remove the data; harmless when repeated."""
        if self._plane is not None:
            self._plane.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._plane = self._folder = None

    # -- outages ----------------------------------------------------------------------------------------

    def stop(self) -> None:
        """The cluster goes down: connections are cut, new ones refused, the data stays."""
        self.plane.stop()

    def start(self) -> None:
        """The cluster comes back: same port, same certificate, same data."""
        self.plane.start()

    def pause(self) -> None:
        """The cluster hangs: connections are accepted by the kernel and nothing answers."""
        self.plane.signal(signal.SIGSTOP)
        wait_until(self.plane.is_stopped, "the API server to hang", 5.0)

    def resume(self) -> None:
        """End a pause; what was asked meanwhile is answered now."""
        self.plane.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """The cluster is down within the block, and ready again after it."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """The cluster hangs within the block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    # -- what a client needs ----------------------------------------------------------------------------

    @property
    def plane(self) -> ControlPlane:
        """The processes behind it."""
        if self._plane is None:
            raise LabError("the API server is not started")
        return self._plane

    @property
    def client(self) -> ApiClient:
        """The lab's own client, as admin."""
        return self.plane.client

    @property
    def port(self) -> int:
        """The loopback port of the API."""
        return self.plane.port

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The certificates that verify the server: its own chain, which ends in the CA it made itself."""
        return self.plane.ca_file

    @property
    def folder(self) -> Path:
        """The folder of this run, with kube-apiserver.log and etcd.log; removed at the end."""
        if self._folder is None:
            raise LabError("the API server is not started")
        return self._folder

    def token(self, user: str = ADMIN) -> str:
        """The bearer token of a static user."""
        return self._users[user][0]

    def kubeconfig(self, path: Path, user: str = ADMIN) -> Path:
        """Write a kubeconfig of a static user; its only context has the cluster's name."""
        return self._write_kubeconfig(path, user, self.token(user))

    def serviceaccount_kubeconfig(
        self, namespace: str, name: str, path: Path, *, expiration_seconds: int = 3600
    ) -> Path:
        """Write a kubeconfig of a ServiceAccount with a token made for it (and make the account too)."""
        token = self.serviceaccount_token(namespace, name, expiration_seconds=expiration_seconds)
        return self._write_kubeconfig(path, f"system:serviceaccount:{namespace}:{name}", token)

    def serviceaccount_token(
        self, namespace: str, name: str, *, expiration_seconds: int = 3600, audiences: Sequence[str] = ()
    ) -> str:
        """A bound token by TokenRequest, for the API server unless audiences are named; the server refuses
        less than 600 seconds.
        """
        meta = {"name": name, "namespace": namespace}
        self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        path = self.client.resource_path("v1", "ServiceAccount", namespace, name) + "/token"
        wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        spec = {
            "expirationSeconds": expiration_seconds,
            **({"audiences": list(audiences)} if audiences else {}),
        }
        answer = self.client.call("POST", path, {**wanted, "spec": spec})
        return str(answer["status"]["token"])

    def _write_kubeconfig(self, path: Path, user: str, token: str) -> Path:
        ca = base64.b64encode(self.ca_file.read_bytes()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": self.name, "cluster": {"server": self.url, "certificate-authority-data": ca}}
            ],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": user}}],
            "current-context": self.name,
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return path

    # -- asking the server ------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        token: str | None = "",
        timeout: float = 30.0,
    ) -> LabResponse:
        """Send one request (an empty token means admin's, None means anonymous); any status is an answer."""
        return self.client.request(
            method, path, body, content_type=content_type, token=token, timeout=timeout
        )

    def apply(
        self, manifests: str | Object | Iterable[Object], *, field_manager: str = "lab", dry_run: bool = False
    ) -> list[Object]:
        """Server-side apply as admin, strictly validated; a refusal raises ApiError."""
        return self.client.apply(manifests, field_manager=field_manager, dry_run=dry_run)

    def get(self, api_version: str, kind: str, namespace: str, name: str) -> Object | None:
        """One object as admin sees it, or None."""
        return self.client.get(api_version, kind, namespace, name)

    def new_namespace(self, prefix: str = "lab", labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace that no other test uses: deleting one never ends without its controller."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        meta = {"name": name, "labels": dict(labels or {})}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        return name

    def install_crds(self, paths: Path | str | Iterable[Path | str]) -> list[str]:
        """Install the CRDs of files or folders and wait until they are served; returns their names."""
        return self.client.install_crds(paths)

    def kubectl(
        self, *args: str, stdin: str = "", kubeconfig: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as admin (or by another kubeconfig); a failure raises LabError unless check is off."""
        if self._binaries.kubectl is None:
            raise LabError("there is no kubectl beside the API server")
        config = kubeconfig or self.kubeconfig(self.folder / "admin.kubeconfig")
        path = os.environ.get("PATH", os.defpath)
        env = {"KUBECONFIG": str(config), "HOME": str(self.folder), "PATH": path}
        command = [str(self._binaries.kubectl), *args]
        done = subprocess.run(
            command, input=stdin, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        if check and done.returncode != 0:
            raise LabError(f"kubectl {' '.join(args)}: code {done.returncode}\n{done.stderr}{done.stdout}")
        return done

    # -- the judge --------------------------------------------------------------------------------------

    @property
    def audit_log(self) -> Path:
        """The audit log file: one JSON event a line."""
        return self.plane.audit_log

    def audit_mark(self) -> int:
        """A place in the audit log: pass it as ``since`` to see only what came after."""
        self._audit_barrier()
        return audit.end_of_lines(self.audit_log)

    def audit_events(self, since: int = 0, *, stage: str | None = "ResponseComplete") -> list[AuditEvent]:
        """The events since a mark, the oldest first: every request already answered is among them.

        An event is written about when its answer is sent, so a marked request of the lab's own goes last and
        is waited for (it is not returned). ``stage=None`` shows watches that are still open too.
        """
        self._audit_barrier()
        events = audit.read_events(self.audit_log, since)
        return [e for e in events if stage in (None, e.stage) and not e.is_barrier]

    def wait_audit(
        self, matches: Callable[[AuditEvent], bool], since: int = 0, *, deadline: float = AUDIT_SECONDS
    ) -> AuditEvent:
        """The first event (of any stage) that matches, waited for."""
        found: list[AuditEvent] = []

        def look() -> bool:
            found[:] = [e for e in audit.read_events(self.audit_log, since) if matches(e)]
            return bool(found)

        wait_until(look, "audit event that matches", deadline)
        return found[0]

    def _audit_barrier(self) -> None:
        """Make sure that the log has caught up; a server that is down has nothing more to write."""
        if not self.plane.running:
            return
        start = audit.end_of_lines(self.audit_log)
        uri = audit.barrier_uri()
        self.request("GET", uri)
        self.wait_audit(lambda event: event.request_uri == uri, start)
