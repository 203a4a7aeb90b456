"""A bookshop to try GitMesh on: a git repository, a configuration, directory clusters, and `gitmesh` as real
processes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.gitrepo import Repo
from tests.lab.process import LabError, hold_port, wait_until

EXAMPLE = Path(__file__).parent.parent / "policies-example"
VIRTUAL_SERVICES = "virtualservice.networking.istio.io"
DEADLINE = 180.0
"""Seconds after which something that did not happen counts as a failure; waiting ends at once when it
happens.
"""


def traffic(name: str, service: str = "", **spec: Any) -> dict[str, Any]:
    """A TrafficPolicy of the bookshop on one service."""
    return policy("TrafficPolicy", name, {"destinations": [{"name": service or name}], **spec})


def policy(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A policy document of the bookshop."""
    return {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "bookshop"},
        "spec": dict(spec),
    }


def text_of(*documents: Mapping[str, Any]) -> str:
    """Documents as YAML. Parts that are one object in memory are written twice: aliases are refused."""
    return yaml.safe_dump_all(
        [json.loads(json.dumps(dict(document))) for document in documents], sort_keys=False
    )


def bookshop(cluster: str) -> list[dict[str, Any]]:
    """The objects of the example's cluster: Namespaces first, as an API server wants them."""
    files = sorted((EXAMPLE / "clusters" / cluster).rglob("*.yaml"))
    found = [document for file in files for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
    first = ("Namespace", "ServiceAccount")
    return sorted(found, key=lambda body: first.index(body["kind"]) if body["kind"] in first else len(first))


def example_policies(west: str = "west") -> dict[str, str]:
    """The example's policies as files of a repository; `west` stands in for the cluster that one of them
    names.
    """
    texts = {
        f"policies/{path.name}": path.read_text(encoding="utf-8") for path in (EXAMPLE / "policies").iterdir()
    }
    return {path: text.replace("clusters: [west]", f"clusters: [{west}]") for path, text in texts.items()}


def environment(home: Path, **more: str) -> dict[str, str]:
    """A user without git identity, with a cache below `home`."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("GITMESH_", "GIT_", "KUBE", "POD_"))
    }
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), **more}


@dataclass
class Shop:
    """A folder with a repository `policies.git`, `gitmesh.yaml` and, below `clusters/`, directory clusters of
    the example.
    """

    root: Path
    clusters: Sequence[Mapping[str, Any]] = (
        {"name": "east", "directory": "clusters/east"},
        {"name": "west", "directory": "clusters/west"},
    )
    repo: Repo = field(init=False)
    source: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.repo = Repo(self.root / "policies.git")
        for cluster in self.clusters:
            if "directory" in cluster:
                shutil.copytree(EXAMPLE / "clusters" / cluster["name"], self.root / cluster["directory"])
        self.configure()

    def configure(self, **more: Any) -> None:
        """Write gitmesh.yaml anew, with other keys of the top."""
        source = {
            "name": "policies",
            "url": self.repo.url,
            "allowInsecure": True,
            "paths": ["policies"],
            "interval": "1s",
            **self.source,
        }
        self.more |= more
        whole = {
            "apiVersion": "gitmesh.io/v1alpha1",
            "kind": "Config",
            "instance": "shop",
            "sources": [source],
        }
        whole |= {"clusters": [dict(cluster) for cluster in self.clusters], **self.more}
        self.config.write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.root / "gitmesh.yaml"

    def commit(self, *documents: Mapping[str, Any], file: str = "policies/all.yaml") -> str:
        """Make these documents all that the repository says."""
        return self.repo.commit({file: text_of(*documents)})

    def commit_example(self) -> str:
        """The example's policies."""
        return self.repo.commit(example_policies())

    def live(
        self, name: str, cluster: str = "east", kind: str = VIRTUAL_SERVICES, namespace: str = "bookshop"
    ) -> Path:
        """The file of a live object of a directory cluster."""
        return self.root / "clusters" / cluster / namespace / kind / f"{name}.yaml"

    def objects(self) -> dict[str, bytes]:
        """Every object that GitMesh wrote, ledgers left out: relative path -> content."""
        root = self.root / "clusters"
        found = {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.glob("*/*/*.istio.io/*.yaml"))
        }
        return {name: content for name, content in found.items() if b"gitmesh" in content}

    def gitmesh(self, *arguments: str, code: int | None = None) -> Ran:
        """Run a command of GitMesh to its end; `code` is the exit code that it must have."""
        command = [sys.executable, "-m", "gitmesh", *arguments, "--config", str(self.config)]
        done = subprocess.run(
            command,
            cwd=self.root,
            env=environment(self.root),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert code is None or done.returncode == code, (
            f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def sync(self, *arguments: str, code: int | None = None) -> SyncReport:
        """`gitmesh sync -o json`."""
        ran = self.gitmesh("sync", "-o", "json", *arguments, code=code)
        assert ran.out, ran.err
        return SyncReport(ran.code, json.loads(ran.out))

    def agent(self, *arguments: str, **env: str) -> Agent:
        """The agent, to be started by `with`."""
        return Agent(self, arguments, env)

    def seen(self) -> dict[str, Any]:
        """What the status branch says of the repository; empty before its first commit."""
        found: dict[str, Any] = self.status().get("sources", {}).get("policies", {})
        return found

    def status(self) -> dict[str, Any]:
        """status.yaml of the status branch; empty before its first commit."""
        if not self.repo.tip("gitmesh-status"):
            return {}
        read: dict[str, Any] = yaml.safe_load(self.repo.files("gitmesh-status")["status.yaml"])
        return read


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class SyncReport:
    """What `gitmesh sync -o json` answered."""

    code: int
    document: Mapping[str, Any]

    @property
    def findings(self) -> list[Mapping[str, Any]]:
        """All findings."""
        return list(self.document["findings"])

    def codes(self, severity: str = "error") -> set[str]:
        """The codes of the findings of a severity."""
        return {one["code"] for one in self.findings if one["severity"] == severity}

    def one(self, code: str) -> Mapping[str, Any]:
        """The only finding of a code."""
        (found,) = [one for one in self.findings if one["code"] == code]
        return found

    def state(self, cluster: str = "east") -> str:
        """The state of a cluster."""
        return str(next(one for one in self.document["clusters"] if one["name"] == cluster)["state"])


class Agent:
    """`gitmesh agent` as a real process on a port of its own; it is killed when the block ends."""

    def __init__(
        self,
        shop: Shop,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "gitmesh"),
    ) -> None:
        self.shop = shop
        self._program = program
        self._held = hold_port()
        self.port = int(self._held.getsockname()[1])
        self._arguments = arguments
        self._env = dict(env or {})
        self._log = shop.root / "agent.log"

    def __enter__(self) -> Self:
        listen = ("--listen", f"127.0.0.1:{self.port}", "--log-format", "json", "--log-level", "debug")
        command = [
            sys.executable,
            *self._program,
            "agent",
            "--config",
            str(self.shop.config),
            *listen,
            *self._arguments,
        ]
        with self._log.open("ab") as output:
            self._start = output.tell()
            self.process = subprocess.Popen(
                command,
                cwd=self.shop.root,
                env=environment(self.shop.root, **self._env),
                stdout=output,
                stderr=output,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._held.close()

    def until(self, happened: Any, what: str, deadline: float = DEADLINE) -> None:
        """Wait until a condition holds; the agent must stay alive meanwhile."""

        def look() -> bool:
            assert self.process.poll() is None, f"the agent ended with {self.process.returncode}:\n{self.log}"
            return bool(happened())

        try:
            wait_until(look, what, deadline)
        except LabError as error:
            raise AssertionError(f"{error}\n{self.log[-6000:]}") from None

    def ticks(self, count: int = 1) -> None:
        """Wait for so many more whole cycles."""
        target = self.cycles() + count
        self.until(lambda: self.cycles() >= target, f"{count} more cycles")

    def cycles(self) -> int:
        """How many cycles were completed."""
        return int(
            sum(value for name, value in self.metrics().items() if name.startswith("gitmesh_reconcile_total"))
        )

    def metrics(self) -> dict[str, float]:
        """Series -> value; empty before the server is up."""
        status, text = self.get("/metrics")
        if status != 200:
            return {}
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {series: float(value) for series, _, value in lines}

    def get(self, path: str) -> tuple[int, str]:
        """(status, body) of a page; status 0 where nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @property
    def log(self) -> str:
        """What this process has logged."""
        return self._log.read_bytes()[self._start :].decode()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The whole lines of the log of one event."""
        lines = [
            json.loads(line)
            for line in self.log.splitlines(keepends=True)
            if line.endswith("\n") and line.startswith("{")
        ]
        return [line for line in lines if line["event"] == name]

    def ready(self) -> None:
        """Wait for the first cycle that read the sources."""
        self.until(lambda: self.get("/readyz")[0] == 200, "readiness")

    def terminate(self, deadline: float = 20.0) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=deadline)
