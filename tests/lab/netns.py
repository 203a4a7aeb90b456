"""Network namespaces as pods have them: an address each, and one namespace in the middle that is node, router
and kube-proxy.

Nothing of it touches the host's own network. Every name begins with the process that owns it, so that what a
killed run left behind is known as such and removed by the next one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.process import LabError, wait_until

PREFIX = "gitmesh-lab"
PROXY_UID = 1337
"""The user whose traffic Istio does not redirect: the proxy's own."""
_TOOLS = ("ip", "iptables-restore", "setpriv", "unshare")
_GATEWAY = "169.254.1.1"
_RUN = Path("/run/netns")
_ETC = Path("/etc/netns")
_NOT_INBOUND = (15008, 15020, 15021, 15090)
"""Ports of the proxy itself: what comes for them is not redirected (istio-iptables' exclusions)."""
_KILL_SECONDS = 10.0
_COUNT = itertools.count(1)


def missing_tools() -> tuple[str, ...]:
    """What this machine lacks to make pods: programs, root, or (in some containers) the right to make network
    namespaces.
    """
    missing = tuple(tool for tool in _TOOLS if shutil.which(tool) is None)
    if os.geteuid() != 0:
        return (*missing, "root")
    if (
        not missing
        and subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode != 0
    ):
        return ("the right to make network namespaces",)
    return missing


def owner_tag() -> str:
    """A name for what this process makes; another with every call. The start time tells apart processes that
    had the same pid.
    """
    return f"{PREFIX}-{os.getpid()}.{process_stamp(os.getpid())}.{next(_COUNT)}"


def sweep() -> list[str]:
    """Remove what runs that are no more have left: processes, namespaces and folders; returns the names of
    these namespaces.
    """
    names = sorted(path.name for path in _RUN.glob(f"{PREFIX}-*") if _is_orphan(path.name))
    for name in names:
        remove_namespace(name)
    for folder in (*_ETC.glob(f"{PREFIX}-*"), *Path(tempfile.gettempdir()).glob(f"{PREFIX}-*")):
        if _is_orphan(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
    return names


def remove_namespace(name: str) -> None:
    """End what runs in a namespace and remove it with its files; harmless when it is not there."""
    wait_until(lambda: not _kill_in(name), f"end of what runs in {name}", _KILL_SECONDS)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    shutil.rmtree(_ETC / name, ignore_errors=True)


def process_stamp(pid: int) -> str:
    """When a process started, in clock ticks since boot (proc(5), field 22 of stat); "" when it has ended,
    reaped or not.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _kill_in(name: str) -> list[str]:
    """Kill what runs in a namespace; returns the pids, which are some moments on their way out."""
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    for pid in listed.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    return listed.stdout.split()


def _is_orphan(name: str) -> bool:
    """Whether the owner in the name is gone; a name without one (of other parts of the lab) is nobody's
    business here.
    """
    pid, _, rest = name.removeprefix(f"{PREFIX}-").partition(".")
    started = rest.partition(".")[0]
    return pid.isdigit() and started.isdigit() and process_stamp(int(pid)) != started


@dataclass(frozen=True)
class ClusterIpForward:
    """One port of a Service: what kube-proxy does with connections to its cluster IP."""

    cluster_ip: str
    port: int
    targets: tuple[str, ...]
    """address:port of the endpoints, taken in turn."""


class Network:
    """The network of one cluster."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._names: list[str] = []
        self._ports = itertools.count(1)
        self.node = self._add("node")
        _ip(self.node, ["link set lo up", f"addr add {_GATEWAY}/32 dev lo"])
        run_in(self.node, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])

    def pod(
        self,
        name: str,
        address: str,
        hosts: Mapping[str, str],
        *,
        redirect: bool,
        unseen: Sequence[int] = (),
    ) -> str:
        """Make a pod's namespace with this IPv4 address; returns the namespace's name.

        `hosts` maps the names that the pod can resolve to addresses. With `redirect` its TCP goes through the
        proxy's ports, but for what comes to `unseen` ones.
        """
        namespace = self._add(name)
        _write_hosts(namespace, {name: address, "localhost": "127.0.0.1", **hosts})
        port = f"pod{next(self._ports)}"
        _ip("", [f"link add eth0 netns {namespace} type veth peer name {port} netns {self.node}"])
        up = ["link set lo up", f"addr add {address}/32 dev eth0", "link set eth0 up"]
        _ip(
            namespace, [*up, f"route add {_GATEWAY} dev eth0 scope link", f"route add default via {_GATEWAY}"]
        )
        _ip(self.node, [f"link set {port} up", f"route add {address}/32 dev {port}"])
        if redirect:
            _restore(namespace, _redirect_rules((*_NOT_INBOUND, *unseen)))
        return namespace

    def rename(self, namespace: str, hosts: Mapping[str, str]) -> None:
        """Let a pod resolve these names and no others from now on."""
        _write_hosts(namespace, {"localhost": "127.0.0.1", **hosts})

    def remove(self, namespace: str) -> None:
        """Remove a pod's namespace and what runs in it."""
        remove_namespace(namespace)
        self._names.remove(namespace)

    def forward(self, forwards: Iterable[ClusterIpForward]) -> None:
        """Let cluster IPs lead to endpoints, for traffic that no proxy has given another target."""
        _restore(self.node, [rule for forward in forwards for rule in _forward_rules(forward)])

    def close(self) -> None:
        """Remove all namespaces and what runs in them."""
        for name in reversed(self._names):
            remove_namespace(name)
        self._names.clear()

    def _add(self, name: str) -> str:
        namespace = f"{self._tag}-{name}"
        _ip("", [f"netns add {namespace}"])
        self._names.append(namespace)
        return namespace


def inside(namespace: str, command: Sequence[str | Path]) -> list[str | Path]:
    """A command that runs in a namespace; `ip` becomes it, so its pid is the command's."""
    return ["ip", "netns", "exec", namespace, *command]


def run_in(namespace: str, command: Sequence[str | Path], stdin: str = "") -> str:
    """Run a command in a namespace and return its output; a failure raises LabError."""
    return _run(inside(namespace, command), stdin)


def _run(command: Sequence[str | Path], stdin: str) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(map(str, command))}: code {done.returncode}\n{done.stderr}")
    return done.stdout


def _ip(namespace: str, lines: Sequence[str]) -> None:
    _run(
        ["ip", *(("-n", namespace) if namespace else ()), "-batch", "-"],
        "".join(f"{line}\n" for line in lines),
    )


def _restore(namespace: str, rules: Sequence[str]) -> None:
    run_in(namespace, ["iptables-restore"], "\n".join(["*nat", *rules, "COMMIT", ""]))


def _write_hosts(namespace: str, hosts: Mapping[str, str]) -> None:
    """`ip netns exec` puts these files in the place of /etc/hosts and /etc/resolv.conf. It binds the files
    themselves, so written anew in their place they are new for what runs there, too.
    """
    folder = _ETC / namespace
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts").write_text("".join(f"{address} {name}\n" for name, address in hosts.items()))
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")


def _redirect_rules(unseen: Sequence[int]) -> list[str]:
    """What Istio's init container sets (tools/istio-iptables of Istio, mode REDIRECT, no IPv6, no DNS
    capture).
    """
    inbound = [f"-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN" for port in unseen]
    proxy = f"-m owner --uid-owner {PROXY_UID}"
    return [
        *(
            f":{chain} - [0:0]"
            for chain in ("ISTIO_INBOUND", "ISTIO_IN_REDIRECT", "ISTIO_OUTPUT", "ISTIO_REDIRECT")
        ),
        "-A PREROUTING -p tcp -j ISTIO_INBOUND",
        "-A OUTPUT -p tcp -j ISTIO_OUTPUT",
        *inbound,
        "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT",
        "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006",
        "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001",
        # 127.0.0.6 is where the proxy calls its own application from.
        "-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN",
        f"-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp ! --dport 15008 {proxy} -j ISTIO_IN_REDIRECT",
        f"-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner {PROXY_UID} -j RETURN",
        f"-A ISTIO_OUTPUT {proxy} -j RETURN",
        "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN",
        "-A ISTIO_OUTPUT -p tcp -j ISTIO_REDIRECT",
    ]


def _forward_rules(forward: ClusterIpForward) -> list[str]:
    match = f"-A PREROUTING -d {forward.cluster_ip}/32 -p tcp --dport {forward.port}"
    rules = []
    for left, target in zip(range(len(forward.targets), 0, -1), forward.targets, strict=True):
        turn = f" -m statistic --mode nth --every {left} --packet 0" if left > 1 else ""
        rules.append(f"{match}{turn} -j DNAT --to-destination {target}")
    return rules
