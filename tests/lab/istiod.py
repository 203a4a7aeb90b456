"""A real istiod on loopback, and what it tells about itself."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.bookshop import LabCluster
from tests.lab.installation import SYSTEM, VALIDATION, istiod_env, mesh_config
from tests.lab.process import LOOPBACK, LabError, Process, free_ports, hold_port

_METRIC = re.compile(r"^(pilot_\w+(?:\{[^}]*\})?) ([0-9.e+-]+)$", re.MULTILINE)
NO_MORE: Mapping[str, object] = {}
_DEBOUNCED = re.compile(r"Push debounce stable\[\d+\] (\d+) for ")


class Istiod:
    """One control plane, in the folder of its cluster; whoever makes one must close it."""

    def __init__(self, program: Path, pod_program: Path, folder: Path, cluster: LabCluster) -> None:
        self._program = program
        self._pod_program = pod_program
        self._folder = folder
        self._cluster = cluster
        self._process: Process | None = None
        self._bridge: Process | None = None
        self._command: list[str | Path] = []
        self._grpc, self._xds, self._http, self._https, self._monitoring = ports = free_ports(5)
        # The API server starts first, so these are kept from others until then.
        self._held = [hold_port(port) for port in ports]
        self.socket = folder / "xds.sock"
        """The UNIX socket by which pods reach it: network namespaces end at TCP, not at the file system."""

    @property
    def validation_url(self) -> str:
        """Where the API server asks whether an object is valid; istiod's certificate knows this host name."""
        return f"https://localhost:{self._https}/validate"

    @property
    def debug_url(self) -> str:
        """The folder of its debug pages."""
        return f"http://{LOOPBACK}:{self._http}/debug/"

    @property
    def log(self) -> Path:
        """Its log."""
        return self._folder / "istiod.log"

    def start(self, kubeconfig: Path, more: Mapping[str, object] = NO_MORE) -> None:
        """Start it and the way to it, with `more` keys in its MeshConfig; returns at once."""
        config = self.configure(more)
        self._release_ports()
        listen = {
            "grpc": self._grpc,
            "secureGRPC": self._xds,
            "http": self._http,
            "https": self._https,
            "monitoring": self._monitoring,
        }
        command: list[str | Path] = [
            self._program,
            "discovery",
            "--kubeconfig",
            kubeconfig,
            "--meshConfig",
            config,
        ]
        command += ["--registries", "Kubernetes", "--ctrlz_port", "0"]
        for name, port in listen.items():
            command += [f"--{name}Addr", f"{LOOPBACK}:{port}"]
        self._command = command
        self._process = Process(command, self.log, env=self._environment(), folder=self._folder)
        bridge = f"{self.socket}={LOOPBACK}:{self._xds}"
        self._bridge = Process([self._pod_program, "-bridge", bridge], self._folder / "bridge.log")

    def configure(self, more: Mapping[str, object]) -> Path:
        """Write its MeshConfig with `more` keys, which it watches, and say where."""
        config, draft = self._folder / "mesh.yaml", self._folder / "mesh.yaml.new"
        draft.write_text(mesh_config(self._cluster, more))
        return draft.replace(config)

    def stop(self) -> None:
        """End it, as a kubelet does before it starts it again; proxies keep what they have meanwhile."""
        if self._process is not None:
            self._process.kill()

    def revive(self) -> None:
        """What a kubelet does: start it again, with a log of its own, where it has ended."""
        if self._process is None or self._process.running:
            return
        self.log.rename(self.log.with_suffix(".before.log"))
        self._process = Process(self._command, self.log, env=self._environment(), folder=self._folder)

    def _environment(self) -> dict[str, str]:
        return {
            **istiod_env(self._cluster),
            "POD_NAME": "istiod-0",
            "POD_NAMESPACE": SYSTEM,
            "CLUSTER_ID": self._cluster.name,
            "ISTIOD_CUSTOM_HOST": "localhost",
            "VALIDATION_WEBHOOK_CONFIG_NAME": VALIDATION,
            "INJECTION_WEBHOOK_CONFIG_NAME": "",
        }

    def close(self) -> None:
        """End it; harmless when repeated."""
        self._release_ports()
        for process in (self._bridge, self._process):
            if process is not None:
                process.kill()

    def _release_ports(self) -> None:
        for held in self._held:
            held.close()

    def check(self) -> None:
        """Fail with the end of the log when it has ended by itself."""
        for process in (self._process, self._bridge):
            if process is not None:
                process.check()

    def ready(self) -> bool:
        """Whether it says so itself."""
        self.check()
        try:
            return self._get(self._http, "/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def debug(self, path: str) -> Any:
        """The JSON of one of its debug pages, such as `syncz`."""
        status, text = self._get(self._http, f"/debug/{path}")
        if status != 200:
            raise LabError(f"istiod's /debug/{path}: {status} {text[:200]}")
        return json.loads(text)

    def metrics(self) -> Mapping[str, float]:
        """Its metrics by series, such as `pilot_inbound_updates{type="config"}`."""
        return {
            match[1]: float(match[2])
            for match in _METRIC.finditer(self._get(self._monitoring, "/metrics")[1])
        }

    def debounced(self) -> list[int]:
        """How many events each push took up that was started so far, in order; only the log tells."""
        return [int(match[1]) for match in _DEBOUNCED.finditer(self.log.read_text(errors="replace"))]

    def _get(self, port: int, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10.0)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()
