"""An answer counts for what it says: a 2xx that is not about the object that was asked about is no success.

A small server of faults answers, since no real API server says such things; what one does say stands in
test_kube_apply.py.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.credentials import Endpoint
from gitmesh.adapters.kube.discovery import Discovery
from gitmesh.adapters.kube.rights import Right, ask
from gitmesh.adapters.kube.store import LedgerStore
from gitmesh.errors import ClusterError
from gitmesh.model.ledger import Ledger
from gitmesh.model.objects import canonical
from gitmesh.model.plan import Action, Live, Outcome, Plan
from gitmesh.planning.ledger_codec import encode_ledger
from tests.integration.faultserver import FaultServer, Reply, says
from tests.integration.kube_support import KINDS, body, carry_out, cluster_at, step, vs_key, vs_spec

KEY = vs_key("bookshop", "reviews")
UID, VERSION = "7c1f0b9e-6a1f-4f6e-9f0e-000000000001", "41"
NO_OBJECTS = says(200, b'{"kind": "List", "metadata": {"resourceVersion": "40"}, "items": []}')
NOT_OURS = [
    {},
    {"kind": "Status", "status": "Success"},
    {"kind": "Status", "status": "Failure", "details": {"name": "reviews", "uid": UID}},
    {"kind": "Status", "status": "Success", "details": {"name": "ratings", "uid": UID}},
    {"kind": "Status", "status": "Success", "details": {"name": "reviews", "uid": "of a predecessor"}},
    {"kind": "Status", "status": "Success", "details": [1]},
    {"kind": "VirtualServiceList", "metadata": {"resourceVersion": "40"}, "items": []},
]
"""Bodies of a 200 that do not say that the object of `UID` is deleted."""


def made(**metadata: Any) -> dict[str, Any]:
    """The object as an API server has it."""
    whole = body(KEY, vs_spec("reviews"))
    return {**whole, "metadata": {**whole["metadata"], "uid": UID, "resourceVersion": VERSION, **metadata}}


def answered(content: object, status: int = 200) -> Reply:
    """An answer with this JSON."""
    return says(status, json.dumps(content).encode())


def outcome_of(action: Action, *replies: Reply) -> Outcome:
    """What becomes of one step where the server answers so."""
    live = Live(key=KEY, uid=UID, body=b"{}", resource_version=VERSION)
    with FaultServer(*[NO_OBJECTS] * len(KINDS), *replies) as server:
        cluster = cluster_at(Endpoint(server=server.url))
        cluster.observe(KINDS)
        seen = None if action is Action.CREATE else live
        spec = None if action is Action.DELETE else vs_spec("reviews")
        (outcome,) = carry_out(cluster, step(action, KEY, spec, seen))
        cluster.close()
    return outcome


@pytest.mark.parametrize("content", [*NOT_OURS, made(), made(uid="another", deletionTimestamp="now")])
def test_K25_a_deletion_counts_only_where_the_answer_says_so(content: object) -> None:
    outcome = outcome_of(Action.DELETE, answered(content))
    assert not outcome.ok
    assert outcome.retryable


@pytest.mark.parametrize("details", [{"name": "reviews", "uid": UID}, {"name": "reviews"}])
def test_a_deletion_counts_where_the_answer_names_the_object(details: object) -> None:
    said = {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": details}
    assert outcome_of(Action.DELETE, answered(said)).ok


@pytest.mark.parametrize("metadata", [{"finalizers": ["a.example/b"]}, {}])
def test_what_is_still_there_after_its_deletion_is_pending(metadata: dict[str, Any]) -> None:
    leaving = made(deletionTimestamp="2026-01-01T00:00:00Z", **metadata)
    outcome = outcome_of(Action.DELETE, answered(leaving, 202))
    assert (outcome.ok, outcome.pending) == (False, True)


def absent(**details: Any) -> dict[str, Any]:
    """What a 404 of an API server says."""
    return {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "details": details}


def test_a_404_of_a_path_is_no_word_on_an_object_at_it() -> None:
    """A version that is served no more answers so, and the object is there in another one."""
    assert not outcome_of(Action.DELETE, answered(absent(), 404)).ok
    assert not outcome_of(Action.DELETE, answered(absent(name="ratings"), 404)).ok
    assert outcome_of(Action.DELETE, answered(absent(name="reviews"), 404)).ok


@pytest.mark.parametrize("action", [Action.CREATE, Action.UPDATE])
@pytest.mark.parametrize(
    "content",
    [
        *NOT_OURS,
        {"metadata": {"uid": UID, "resourceVersion": "42"}},
        made(name="ratings"),
        made(namespace="elsewhere"),
        {**made(), "kind": "DestinationRule"},
        {**made(), "apiVersion": "other.example/v1"},
        {**made(), "apiVersion": 1},
    ],
)
def test_K25_a_write_counts_only_where_the_answer_is_the_object(action: Action, content: object) -> None:
    seen = [answered(made())] if action is Action.UPDATE else []
    assert not outcome_of(action, *seen, answered(content)).ok
    assert outcome_of(action, *seen, answered(made())).ok


@pytest.mark.parametrize("content", [*NOT_OURS, {"metadata": {"uid": "1", "resourceVersion": "2"}}, made()])
def test_K25_a_ledger_counts_as_read_or_saved_only_where_the_answer_is_the_ledger(content: object) -> None:
    with FaultServer(answered(content)) as server:
        client = KubeClient(Endpoint(server=server.url), timeout=5.0, user_agent="gitmesh-tests")
        store = LedgerStore(client)
        with pytest.raises(ClusterError):
            store.load("x")
        for version in ("", "1"):
            with pytest.raises(ClusterError):
                store.save(Ledger(instance="x"), version)
        client.close()


def test_a_ledger_that_is_said_to_be_saved_in_another_content_is_not() -> None:
    """An answer from before: the ConfigMap as it was when somebody else wrote it."""
    before = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "gitmesh-x", "namespace": "gitmesh-system", "uid": "1", "resourceVersion": "2"},
        "data": {"ledger.json": "{}"},
    }
    with FaultServer(answered(before)) as server:
        client = KubeClient(Endpoint(server=server.url), timeout=5.0, user_agent="gitmesh-tests")
        with pytest.raises(ClusterError):
            LedgerStore(client).save(Ledger(instance="x"), "2")
        client.close()


@pytest.mark.parametrize(("version", "is_saved"), [("2", False), ("3", True)])
def test_a_refused_save_counts_only_where_the_ledger_moved_to_what_was_saved(
    version: str, is_saved: bool
) -> None:
    """The server says that version 2 is not the last one. Version 3 with this content is our own write, whose
    answer was lost; version 2 again is an answer from before, whatever its content is.
    """
    ledger = Ledger(instance="x")
    there = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "gitmesh-x",
            "namespace": "gitmesh-system",
            "uid": "1",
            "resourceVersion": version,
        },
        "data": {"ledger.json": encode_ledger(ledger).decode()},
    }
    refusal = {"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409}
    with FaultServer(answered(refusal, 409), answered(there)) as server:
        client = KubeClient(Endpoint(server=server.url), timeout=5.0, user_agent="gitmesh-tests")
        with nullcontext() if is_saved else pytest.raises(ClusterError, match="changed by somebody else"):
            assert LedgerStore(client).save(ledger, "2") == version
        client.close()


def found(*replies: Reply) -> tuple[bool, bool]:
    """Whether an object that the list lacks is found by name, and then known as ours alone."""
    with FaultServer(*[NO_OBJECTS] * len(KINDS), *replies) as server:
        cluster = cluster_at(Endpoint(server=server.url))
        assert cluster.observe(KINDS).live == {}
        live = cluster.find([KEY]).get(KEY)
        cluster.close()
    return live is not None, live is not None and (live.uid, live.resource_version) == (UID, VERSION)


def test_what_a_list_lacks_is_found_by_name_and_only_an_absence_of_it_counts_as_one() -> None:
    assert found(answered(made())) == (True, True)
    assert found(answered(absent(name="reviews"), 404)) == (False, False)
    for reply in (
        says(404, b"404 page not found"),
        answered(absent(), 404),
        *map(answered, NOT_OURS),
        answered(made(name="ratings")),
    ):
        with pytest.raises(ClusterError):
            found(reply)


def test_a_dry_run_counts_only_where_the_answer_is_the_object() -> None:
    """It fell over `{}`, as a defect of GitMesh."""
    for content in (*NOT_OURS, made(name="ratings")):
        with FaultServer(*[NO_OBJECTS] * len(KINDS), answered(content)) as server:
            cluster = cluster_at(Endpoint(server=server.url))
            cluster.observe(KINDS)
            live = Live(
                key=KEY, uid=UID, body=canonical(body(KEY, vs_spec("other"))), resource_version=VERSION
            )
            update = step(Action.UPDATE, KEY, vs_spec("reviews"), live)
            with pytest.raises(ClusterError):
                cluster.predict(Plan(cluster="lab", changes=(update,)))
            cluster.close()


def test_a_schema_counts_only_where_the_answer_is_one() -> None:
    """One that was read from `{}` was taken for a server without schemas for as long as the document's name
    stayed."""
    kind = {"resource": "virtualservices", "responseKind": {"kind": "VirtualService"}, "scope": "Namespaced"}
    group = {"metadata": {"name": KEY.group}, "versions": [{"version": "v1", "resources": [kind]}]}
    served = answered({"kind": "APIGroupDiscoveryList", "items": [group]})
    place = f"apis/{KEY.group}/v1"
    index = answered({"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}?hash=1"}}})
    mark = {"group": KEY.group, "version": "v1", "kind": "VirtualService"}
    schema = {"x-kubernetes-group-version-kind": [mark], "properties": {"spec": {"type": "object"}}}
    document = answered({"components": {"schemas": {"a": schema}}})
    empty = answered({})
    with FaultServer(served, empty, served, index, empty, served, index, document) as server:
        client = KubeClient(Endpoint(server=server.url), timeout=5.0, user_agent="gitmesh-tests")
        found = Discovery(client, [KEY.group])
        for _ in range(2):
            with pytest.raises(ClusterError):
                found.kinds()
        (read,) = found.kinds()
        client.close()
    assert "spec" in read.fields


def test_a_right_counts_as_refused_only_where_the_answer_says_so() -> None:
    right = Right(group="", resource="pods", verb="list")
    with FaultServer(answered({"status": {"allowed": False}}), answered({})) as server:
        client = KubeClient(Endpoint(server=server.url), timeout=5.0, user_agent="gitmesh-tests")
        assert not ask(client, [right])[0].allowed
        with pytest.raises(ClusterError):
            ask(client, [right])
        client.close()
