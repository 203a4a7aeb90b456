"""One story on two real API servers, told with the real command line: played by a test, and printed by
`tests.lab.transcript`.

Every chapter asserts what it shows.
"""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.apiserver import ApiServer
from tests.lab.installation import OWN_NAMESPACE
from tests.lab.process import wait_until
from tests.patience import GIVEN_UP
from tests.shop import Ran, Shop, bookshop, example_policies, policy, text_of, traffic

NETWORKING = "networking.istio.io/v1"
TIMEOUT = 3.0
"""Seconds that a cluster may take for a request: what `timeout: 3s` in the configuration says."""
_HANDS_OFF = {
    "apiVersion": NETWORKING,
    "kind": "VirtualService",
    "metadata": {"name": "details", "namespace": "bookshop"},
    "spec": {
        "hosts": ["details"],
        "http": [{"timeout": "42s", "route": [{"destination": {"host": "details"}}]}],
    },
}


@dataclass
class LabStory:
    """The two clusters, a repository and a configuration; `say` gets every line of the transcript."""

    root: Path
    servers: tuple[ApiServer, ApiServer]
    say: Callable[[str], None] = field(default=lambda _line: None)
    files: dict[str, str] = field(default_factory=example_policies)

    def __post_init__(self) -> None:
        self.east, self.west = self.servers
        clusters = []
        for name, server in zip(("east", "west"), self.servers, strict=True):
            server.kubeconfig(self.root / f"{name}.kubeconfig")
            clusters.append(
                {"name": name, "kubeconfig": {"path": f"{name}.kubeconfig"}, "timeout": f"{TIMEOUT:g}s"}
            )
            server.apply([*bookshop(name), OWN_NAMESPACE])
        self.shop = Shop(self.root, clusters=clusters)

    def tell(self) -> None:
        """All chapters."""
        for chapter in (
            self.sync,
            self.heal,
            self.adopt,
            self.prune,
            self.mass_delete,
            self.stopped,
            self.hanging,
        ):
            self.say(f"\n## {(chapter.__doc__ or '').strip()}\n")
            chapter()

    # --- chapters

    def sync(self) -> None:
        """The policies reach both clusters"""
        self.commit("Policies of the bookshop")
        ran = self.gitmesh("sync", code=0)
        assert "2 clusters" in ran.out
        for server in self.servers:
            assert self.service(server, "reviews")["spec"]["hosts"]
        self.kubectl(
            self.east,
            "get",
            "virtualservices,destinationrules,authorizationpolicies,peerauthentications",
            "-A",
        )
        assert "nothing to do" in self.gitmesh("sync", code=0).out or not self.writes(), (
            "a second run writes nothing"
        )

    def heal(self) -> None:
        """A hand edit is healed"""
        before = self.service(self.east, "ratings")["spec"]
        patch = '[{"op": "replace", "path": "/spec/http/1/timeout", "value": "99s"}]'
        self.kubectl(
            self.east, "patch", "virtualservice", "ratings", "-n", "bookshop", "--type=json", "-p", patch
        )
        assert self.service(self.east, "ratings")["spec"] != before
        ran = self.gitmesh("sync", code=0)
        assert "(drift)" in ran.out
        assert "99s" in ran.out
        assert self.service(self.east, "ratings")["spec"] == before

    def adopt(self) -> None:
        """A foreign object is kept, then adopted: by an annotation in east, by an Adoption in west"""
        for server in self.servers:
            server.client.call("DELETE", self.path(server, "details"))
            server.apply(_HANDS_OFF, field_manager="the-details-team")
        ran = self.gitmesh("sync", code=0)
        assert ran.out.count("GM401") >= 2
        assert [self.timeout(server) for server in self.servers] == ["42s", "42s"], "kept"
        self.kubectl(
            self.east, "annotate", "virtualservice", "details", "-n", "bookshop", "gitmesh.io/adopt=shop"
        )
        self.files["policies/adoption.yaml"] = text_of(
            policy(
                "Adoption",
                "details",
                {"objects": ["west/networking.istio.io/VirtualService/bookshop/details"]},
            )
        )
        self.commit("Take over the routes of details in west")
        self.gitmesh("diff", "--policy", "*/defaults", code=1)
        ran = self.gitmesh("sync", code=0)
        assert "GM401" not in ran.out
        assert [self.timeout(server) for server in self.servers] == ["5s", "5s"], "adopted"
        assert not self.writes()

    def prune(self) -> None:
        """One deleted policy: its objects go, and nothing else"""
        self.files["policies/preview.yaml"] = text_of(
            traffic("nobody", "productpage", timeout="9s", priority=1)
        )
        self.commit("A policy for a while")
        self.gitmesh("sync", code=0)
        names = self.names(self.east)
        self.files["policies/access.yaml"], rest = "", self.files["policies/access.yaml"]
        kept = [part for part in rest.split("---\n") if "reviews-read-ratings" not in part]
        self.files["policies/access.yaml"] = "---\n".join(kept)
        self.commit("Nobody reads ratings any more")
        ran = self.gitmesh("sync", code=0)
        assert "AuthorizationPolicy bookshop/ratings-allow" in ran.out
        assert names - self.names(self.east) == {"ratings-allow"}

    def mass_delete(self) -> None:
        """A commit that deletes nearly everything is held until it is approved"""
        names, whole = self.names(self.east), dict(self.files)
        self.files = {"policies/ratings.yaml": text_of(traffic("ratings", timeout="1s"))}
        sha = self.commit("Away with it")
        ran = self.gitmesh("sync", code=2)
        assert "GM402" in ran.out
        assert self.names(self.east) == names, "kept"
        self.gitmesh("sync", "--approve-prune", sha[:12], code=0)
        self.gitmesh("sync", "--approve-prune", sha[:12], code=0)
        assert self.names(self.east) == {"ratings"}
        self.files = whole
        self.commit("Back with it")
        self.gitmesh("sync", code=0)
        assert self.names(self.east) == names

    def stopped(self) -> None:
        """One server stops: the other is kept; when it is back, it converges"""
        self.files["policies/ratings.yaml"] = text_of(traffic("ratings", timeout="7s"))
        self.commit("Ratings may take longer")
        allowed = self.allowed()
        self.say("  (west is stopped)")
        with self.west.down():
            ran = self.gitmesh("sync", code=3)
            assert "GM501" in ran.out
            assert self.allowed() == allowed, "the callers of west are not forgotten"
            assert self.timeout(self.east, "ratings") == "7s"
        self.say("  (west is started again)")
        assert self.timeout(self.west, "ratings") != "7s"
        self.back()

    def hanging(self) -> None:
        """One server hangs: no longer than its timeout is waited for it"""
        self.files["policies/ratings.yaml"] = text_of(traffic("ratings", timeout="8s"))
        self.commit("And longer")
        self.say("  (west takes connections and answers nothing)")
        with self.west.hanging():
            began = time.monotonic()
            ran = self.gitmesh("sync", code=3)
            assert time.monotonic() - began < GIVEN_UP
            assert "GM501" in ran.out
            assert self.timeout(self.east, "ratings") == "8s"
        self.say("  (west answers again)")
        self.back("8s")

    # --- means

    def back(self, timeout: str = "7s") -> None:
        """The cluster that was away converges, and then all is quiet."""
        wait_until(lambda: self.west.request("GET", "/readyz").status == 200, "west", 30)
        self.gitmesh("sync", code=0)
        assert self.timeout(self.west, "ratings") == timeout
        assert not self.writes()

    def commit(self, subject: str) -> str:
        """Commit the files as they are."""
        self.say(f"$ git commit -m '{subject}' && git push")
        return self.shop.repo.commit(self.files, subject=subject)

    def gitmesh(self, *arguments: str, code: int) -> Ran:
        """Run the real command and show it."""
        ran = self.shop.gitmesh(*arguments, code=code)
        self.shown(f"gitmesh {' '.join(arguments)}", ran.out)
        if code:
            self.say(f"  (exit code {code})")
        return ran

    def kubectl(self, server: ApiServer, *arguments: str) -> None:
        """Run kubectl and show it."""
        name = "east" if server is self.east else "west"
        self.shown(f"kubectl --context {name} {' '.join(arguments)}", server.kubectl(*arguments).stdout)

    def shown(self, command: str, output: str) -> None:
        """A command with its output."""
        self.say(f"$ {command}")
        self.say(textwrap.indent(output.rstrip("\n"), "  "))

    def writes(self) -> list[Any]:
        """What a sync would still write."""
        document = json.loads(self.shop.gitmesh("diff", "-o", "json").out)
        changes = [change for cluster in document["clusters"] for change in cluster["changes"]]
        return [change for change in changes if change["action"] in ("create", "update", "delete", "adopt")]

    def path(self, server: ApiServer, name: str) -> str:
        """The URL of a VirtualService."""
        return server.client.resource_path(NETWORKING, "VirtualService", "bookshop", name)

    def service(self, server: ApiServer, name: str) -> Mapping[str, Any]:
        """A live VirtualService."""
        found: Mapping[str, Any] = server.client.call("GET", self.path(server, name))
        return found

    def timeout(self, server: ApiServer, name: str = "details") -> str:
        """The timeout of the last route of a service."""
        return str(self.service(server, name)["spec"]["http"][-1].get("timeout"))

    def allowed(self) -> Any:
        """Who may call details in east."""
        path = self.east.client.resource_path(
            "security.istio.io/v1", "AuthorizationPolicy", "bookshop", "details-allow"
        )
        return self.east.client.call("GET", path)["spec"]

    def names(self, server: ApiServer) -> set[str]:
        """The names of all objects in the bookshop that Istio reads."""
        groups = {
            NETWORKING: ("VirtualService", "DestinationRule"),
            "security.istio.io/v1": ("AuthorizationPolicy", "PeerAuthentication"),
        }
        paths = [
            server.client.resource_path(group, kind, "bookshop")
            for group, kinds in groups.items()
            for kind in kinds
        ]
        return {
            item["metadata"]["name"] for path in paths for item in server.client.call("GET", path)["items"]
        }
