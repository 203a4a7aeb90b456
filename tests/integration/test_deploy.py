"""`deploy/` on a real API server: the agent under exactly the ServiceAccount that the manifests make, judged
by the audit log.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.apiserver import ApiServer
from tests.lab.audit import AuditEvent
from tests.lab.build import Binaries
from tests.lab.process import LOOPBACK
from tests.shop import Agent, Shop, bookshop, example_policies, policy, text_of, traffic

pytestmark = pytest.mark.lab

DEPLOY = Path(__file__).parents[2] / "deploy"
NAMESPACE, NAME = "gitmesh-system", "gitmesh"
WHO = f"system:serviceaccount:{NAMESPACE}:{NAME}"
_IN_A_POD = """\
import sys
from pathlib import Path
from gitmesh.adapters.kube import credentials
credentials.in_cluster.__defaults__ = (Path(sys.argv.pop(1)),)
from gitmesh.cli.main import main
main()
"""
"""The agent, with another folder in place of the one that a kubelet mounts. All else is as in a pod."""


@pytest.fixture(scope="module")
def server(binaries: Binaries) -> Iterator[ApiServer]:
    """A server of its own: what deploy/ makes has fixed names."""
    with ApiServer(binaries, name="deploy") as made:
        assert binaries.istio_crds is not None
        made.install_crds(binaries.istio_crds)
        made.apply(bookshop("east"))
        yield made


@dataclass
class PodShop(Shop):
    """A shop whose configuration is the one of deploy/base/configmap.yaml; only the repository is another."""

    manifests: Path = DEPLOY
    clusters: Any = field(default=())

    def configure(self, **more: Any) -> None:
        configmap = yaml.safe_load((self.manifests / "base/configmap.yaml").read_text(encoding="utf-8"))
        config = yaml.safe_load(configmap["data"]["gitmesh.yaml"])
        (source,) = config["sources"]
        source |= {"url": self.repo.url, "allowInsecure": True, "interval": "1s"}
        del source["auth"]
        self.config.write_text(yaml.safe_dump({**config, **more}, sort_keys=False), encoding="utf-8")


@dataclass
class DeployedPod:
    """What a pod of the Deployment is given: environment, token and certificate; made by the manifests
    applied before.
    """

    server: ApiServer
    shop: PodShop
    folder: Path

    def agent(self) -> Agent:
        """The agent as the container starts it."""
        deployment = self.server.get("apps/v1", "Deployment", NAMESPACE, NAME)
        assert deployment is not None
        template = deployment["spec"]["template"]["spec"]
        (container,) = template["containers"]
        assert template["serviceAccountName"] == NAME
        assert container["args"] == ["agent", "--config", "/etc/gitmesh/gitmesh.yaml", "--log-format", "json"]
        self.folder.mkdir(exist_ok=True)
        shutil.copyfile(self.server.ca_file, self.folder / "ca.crt")
        (self.folder / "token").write_text(
            self.server.serviceaccount_token(NAMESPACE, NAME), encoding="utf-8"
        )
        given = {one["name"]: one.get("value", NAMESPACE) for one in container["env"]}
        assert given == {"POD_NAMESPACE": NAMESPACE, "GITMESH_DEPLOYMENT": NAME}
        host = {"KUBERNETES_SERVICE_HOST": LOOPBACK, "KUBERNETES_SERVICE_PORT": str(self.server.port)}
        return Agent(self.shop, (), {**given, **host}, program=("-c", _IN_A_POD, str(self.folder)))


def asked(server: ApiServer, mark: int) -> list[AuditEvent]:
    """What the ServiceAccount asked for since a mark."""
    return [event for event in server.audit_events(mark) if event.user == WHO]


EDITS: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
    ("networking.istio.io/v1", "VirtualService", "bookshop", "ratings", {"gateways": ["mesh"]}),
    ("networking.istio.io/v1", "DestinationRule", "bookshop", "ratings", {"exportTo": ["."]}),
    ("security.istio.io/v1", "AuthorizationPolicy", "bookshop", "ratings-allow", {"rules": [{}]}),
    ("security.istio.io/v1", "PeerAuthentication", "istio-system", "default", {"mtls": {"mode": "DISABLE"}}),
)
"""What a person changes by hand, one object of each kind that is written."""
Rule = tuple[str, str, str, str]


def used(events: list[AuditEvent]) -> set[Rule]:
    """(verb, group, resource, name or "") of the requests for objects; the name only where a rule could hold
    it.

    A patch that made an object (201) needs the right to create it, too.
    """
    named = {"configmaps", "deployments"}
    whole = [e for e in events if e.resource and e.api_group != "authorization.k8s.io"]
    made = {("create", e.api_group, e.resource, "") for e in whole if e.verb == "patch" and e.code == 201}
    return made | {
        (e.verb, e.api_group, e.resource, e.name if e.resource in named and e.verb != "create" else "")
        for e in whole
    }


def granted(folder: str) -> set[Rule]:
    """The same of the rules in a folder's rbac.yaml."""
    documents = yaml.safe_load_all((DEPLOY / folder / "rbac.yaml").read_text(encoding="utf-8"))
    rules = [rule for document in documents for rule in document.get("rules", ())]
    return {
        (verb, group, resource, name)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def exercised(events: list[AuditEvent], rights: set[Rule]) -> set[Rule]:
    """The rights that the requests used; one without a name is for any (each revision of a mesh has a
    ConfigMap of its own).
    """
    return {
        right
        for verb, group, resource, name in used(events)
        for right in rights
        if right in {(verb, group, resource, n) for n in (name, "")}
    }


def test_observe_then_enforce_need_exactly_the_rights_that_the_manifests_give(
    server: ApiServer, tmp_path: Path
) -> None:
    """One story, as a user would go: first look, then keep."""
    server.kubectl("apply", "-k", str(DEPLOY / "observe"))
    shop = PodShop(tmp_path)
    shop.repo.commit(example_policies("here"))
    pod = DeployedPod(server, shop, tmp_path / "serviceaccount")

    mark = server.audit_mark()
    with pod.agent() as agent:
        agent.ready()
        agent.ticks(2)
        assert agent.metrics().get('gitmesh_objects{action="create",cluster="here"}', 0) > 10, (
            f"it plans; {agent.log}"
        )
        assert (
            "GM509" in {line["code"] for line in agent.events("finding")}
            or agent.metrics()['gitmesh_findings{code="GM509",level="info"}']
        )
    events = asked(server, mark)
    assert [e.request_uri for e in events if e.code == 403] == []
    assert [e.request_uri for e in events if e.verb not in ("get", "list")] == []
    assert exercised(events, granted("observe")) == granted("observe"), "no right is superfluous"

    enforced(server, pod)


def enforced(server: ApiServer, pod: DeployedPod) -> None:
    """Apply, heal, prune, ledger and Events under the rights of deploy/enforce."""
    manifests = pod.shop.root / "deploy"
    shutil.copytree(DEPLOY, manifests)
    configmap = manifests / "base/configmap.yaml"
    text = configmap.read_text(encoding="utf-8")
    assert text.count("mode: Observe") == 1
    configmap.write_text(text.replace("mode: Observe", "mode: Enforce"), encoding="utf-8")
    server.kubectl("apply", "-k", str(manifests / "enforce"))
    pod.shop.manifests = manifests
    pod.shop.configure()
    mark = server.audit_mark()
    with pod.agent() as agent:
        agent.ready()
        agent.until(
            lambda: agent.metrics().get('gitmesh_cluster_state{cluster="here",state="Synced"}') == 1, "synced"
        )
        for group, kind, namespace, name, edited in EDITS:
            path = server.client.resource_path(group, kind, namespace, name)
            before = server.client.call("GET", path)["spec"]
            patch = {"spec": edited}
            server.client.call(
                "PATCH",
                f"{path}?fieldManager=kubectl-edit",
                patch,
                content_type="application/merge-patch+json",
            )
            agent.until(
                lambda path=path, before=before: server.client.call("GET", path)["spec"] == before,
                f"heal of {path}",
            )
        files = {path: text for path, text in example_policies("here").items() if "ratings" not in path}
        pod.shop.repo.commit({**files, "policies/more.yaml": text_of(traffic("ratings", timout="1s"))})
        agent.until(lambda: reasons(server), "an Event")
        pod.shop.repo.commit({name: text for name, text in files.items() if "defaults" not in name})
        agent.until(
            lambda: server.get("networking.istio.io/v1", "VirtualService", "bookshop", "ratings") is None,
            "prune",
        )
        pod.shop.repo.commit({name: text for name, text in files.items() if "reviews" in name})
        agent.until(
            lambda: (
                server.get("security.istio.io/v1", "PeerAuthentication", "istio-system", "default") is None
            ),
            "prune of the rest",
        )
        agent.until(
            lambda: (
                server.get("security.istio.io/v1", "AuthorizationPolicy", "bookshop", "reviews-allow") is None
            ),
            "prune of access",
        )
        agent.ticks(1)
        assert reasons(server) == {"RevisionRefused", "UnknownField"}
    events = asked(server, mark)
    assert [(e.request_uri, e.verb) for e in events if e.code == 403] == []
    assert {e.resource for e in events} & {"secrets"} == set()
    rights = granted("observe") | granted("enforce")
    assert exercised(events, rights) == rights, "no right is superfluous"
    ledger = server.get("v1", "ConfigMap", NAMESPACE, "gitmesh-default")
    assert ledger is not None
    assert "networking.istio.io/VirtualService" in ledger["data"]["ledger.json"]


def reasons(server: ApiServer) -> set[str]:
    """Why the Events on the agent's Deployment were made."""
    events = server.client.call("GET", f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events")["items"]
    deployment = server.get("apps/v1", "Deployment", NAMESPACE, NAME)
    assert deployment is not None
    assert {event["regarding"]["uid"] for event in events} <= {deployment["metadata"]["uid"]}
    return {event["reason"] for event in events if event["regarding"]["name"] == NAME}


def test_check_under_the_service_account_finds_every_right(server: ApiServer, tmp_path: Path) -> None:
    server.kubectl("apply", "-k", str(DEPLOY / "enforce"))
    kubeconfig = server.serviceaccount_kubeconfig(NAMESPACE, NAME, tmp_path / "kubeconfig")
    shop = Shop(tmp_path, clusters=({"name": "here", "kubeconfig": {"path": str(kubeconfig)}},))
    shop.configure(instance="default")
    shop.commit(policy("VirtualMesh", "shop", {"meshes": [{"selector": {"all": True}}]}))
    ran = shop.gitmesh("check", code=0)
    assert "none missing" in ran.out


def test_the_manifests_never_grant_secrets_wildcards_or_escalation() -> None:
    rules = granted("observe") | granted("enforce")
    for verb, group, resource, _ in rules:
        assert "secret" not in resource
        assert "*" not in (verb, group, resource)
        assert verb not in ("impersonate", "escalate", "bind", "watch", "deletecollection")


def test_the_pod_meets_the_restricted_standard(server: ApiServer) -> None:
    """The namespace enforces it: a pod of the template is admitted, one without its securityContext is
    not.
    """
    server.kubectl("apply", "-k", str(DEPLOY / "enforce"))
    deployment = yaml.safe_load((DEPLOY / "base/deployment.yaml").read_text(encoding="utf-8"))
    template = deployment["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "try", "namespace": NAMESPACE},
        "spec": template["spec"],
    }
    server.apply(pod, dry_run=True)
    loose = {**pod, "spec": {**template["spec"], "securityContext": {}}}
    with pytest.raises(Exception, match="restricted"):
        server.apply(loose, dry_run=True)
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
