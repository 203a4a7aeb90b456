"""The parts of the Kubernetes adapter that need no server: paths, texts, pacing, managedFields."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gitmesh.adapters.kube import managed
from gitmesh.adapters.kube.errors import api_error, clean
from gitmesh.adapters.kube.pacing import LONGEST_WAIT, Slots, backoff, retry_after
from gitmesh.adapters.kube.paths import PathError, collection, item, segment
from gitmesh.adapters.kube.together import together
from gitmesh.adapters.kube.writes import apply_request
from gitmesh.errors import ClusterError
from gitmesh.model.objects import ApiKind, ObjectKey

KIND = ApiKind(group="networking.istio.io", kind="VirtualService", plural="virtualservices", versions=("v1",))
DESIRED = {
    "apiVersion": "networking.istio.io/v1",
    "metadata": {"labels": {"a": "1"}, "annotations": {}},
    "spec": {},
}


@given(st.text())
def test_P09_a_segment_is_refused_or_stands_for_itself_in_a_url(text: str) -> None:
    try:
        passed = segment(text)
    except PathError:
        return
    assert passed == text
    assert text not in ("", ".", "..")
    assert not set(text) & set("/\\%?#&; \t\r\n\x00")
    assert text.isascii()


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a/..", "a\n", "%2e", "a%2f", "ä", "a b", "-a", "a" * 254, "a?x", "a#"]
)
def test_P09_names_that_change_a_path_are_refused(text: str) -> None:
    with pytest.raises(PathError):
        segment(text)


@pytest.mark.parametrize("text", ["a", "web.shop", "system:agent", "A1", "a" * 253])
def test_names_of_objects_pass(text: str) -> None:
    assert segment(text) == text


def test_P09_a_namespaced_object_needs_its_namespace() -> None:
    key = ObjectKey(group=KIND.group, kind=KIND.kind, namespace="shop", name="web")
    assert item(KIND, "v1", key) == "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/web"
    assert collection(KIND, "v1") == "/apis/networking.istio.io/v1/virtualservices"
    with pytest.raises(PathError):
        item(KIND, "v1", ObjectKey(group=KIND.group, kind=KIND.kind, namespace="", name="web"))


@given(st.text(), st.integers(min_value=4, max_value=600))
def test_K25_cleaned_text_is_short_and_printable(text: str, longest: int) -> None:
    line = clean(text, longest)
    assert len(line) <= longest
    assert line.isprintable()


@given(st.integers(min_value=100, max_value=599), st.binary(max_size=200))
def test_K25_any_refusal_makes_an_error(status: int, body: bytes) -> None:
    error = api_error("GET /x", status, body)
    assert str(error).isprintable()
    assert error.status == status


@given(st.one_of(st.none(), st.text(), st.integers().map(str)))
def test_K05_retry_after_is_bounded_whatever_the_header(header: str | None) -> None:
    found = retry_after(header)
    assert found is None or 0 <= found <= LONGEST_WAIT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("3600", 60.0),
        ("x", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("Mon, 23 Nov 2026 02:51:16", None),
    ],
)
def test_K05_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_backoff_has_full_jitter_and_a_cap() -> None:
    assert [backoff(attempt, 0.5) for attempt in range(4)] == [0.2, 0.4, 0.8, 1.6]
    assert backoff(3, 0.0) == 0
    assert backoff(50, 0.999) < 5


@given(st.lists(st.booleans(), max_size=60))
def test_slots_never_exceed_their_limit_and_never_get_stuck(refusals: list[bool]) -> None:
    slots, lock = Slots(8), threading.Lock()
    held: list[bool] = []
    most = 0

    def one(refused: bool) -> None:
        nonlocal most
        with slots:
            with lock:
                held.append(refused)
                most = max(most, len(held))
            (slots.slower if refused else slots.faster)()
            with lock:
                held.pop()

    threads = [threading.Thread(target=one, args=(refused,), daemon=True) for refused in refusals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert most <= 8
    assert 1 <= slots.limit <= 8


def entry(manager: str, operation: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A managedFields entry."""
    return {"manager": manager, "operation": operation, "fieldsV1": fields, "fieldsType": "FieldsV1", **more}


def having(*found: dict[str, Any]) -> dict[str, Any]:
    """An object with these managedFields."""
    return {"metadata": {"managedFields": list(found)}}


OURS = entry("gitmesh", "Apply", {"f:spec": {"f:hosts": {}}})


def test_what_people_claim_becomes_ours_and_the_rest_stays_theirs() -> None:
    edit = entry(
        "kubectl-edit",
        "Update",
        {"f:spec": {"f:gateways": {}}, "f:metadata": {"f:labels": {"f:a": {}, "f:team": {}}}},
    )
    status = entry("istiod", "Update", {"f:status": {}}, subresource="status")
    raw = having(OURS, edit, status)
    taken = managed.taken_over(managed.entries(raw), raw, DESIRED, frozenset())
    assert taken == [
        {
            **OURS,
            "fieldsV1": {
                "f:spec": {"f:hosts": {}, "f:gateways": {}},
                "f:metadata": {"f:labels": {"f:a": {}}},
            },
        },
        {**edit, "fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}}},
        status,
    ]


def test_forbidden_labels_and_annotations_become_ours_to_take_away() -> None:
    edit = entry(
        "kubectl-label",
        "Update",
        {"f:metadata": {"f:labels": {"f:rev": {}, "f:team": {}}, "f:annotations": {"f:rev": {}}}},
    )
    raw = having(OURS, edit)
    taken = managed.taken_over(managed.entries(raw), raw, DESIRED, frozenset({"rev"}))
    assert taken is not None
    assert taken[0]["fieldsV1"]["f:metadata"] == {"f:labels": {"f:rev": {}}, "f:annotations": {"f:rev": {}}}
    assert taken[1]["fieldsV1"] == {"f:metadata": {"f:labels": {"f:team": {}}}}


def test_what_others_apply_is_never_taken() -> None:
    raw = having(OURS, entry("argocd", "Apply", {"f:spec": {"f:gateways": {}}}))
    assert managed.taken_over(managed.entries(raw), raw, DESIRED, frozenset()) is None
    assert managed.appliers(managed.entries(raw), DESIRED, frozenset()) == {"argocd": ["spec.gateways"]}


def test_an_update_of_our_own_name_is_a_webhooks_and_is_taken() -> None:
    raw = having(OURS, entry("gitmesh", "Update", {"f:spec": {"f:tls": {}}}))
    taken = managed.taken_over(managed.entries(raw), raw, DESIRED, frozenset())
    assert taken is not None
    assert [e["operation"] for e in taken] == ["Apply"]


def test_an_adopted_object_gets_an_entry_of_ours() -> None:
    raw = having(entry("kubectl-client-side-apply", "Update", {"f:spec": {".": {}, "f:hosts": {}}}))
    taken = managed.taken_over(managed.entries(raw), raw, DESIRED, frozenset())
    assert taken is not None
    assert (taken[0]["manager"], taken[0]["operation"], taken[0]["fieldsV1"]) == (
        "gitmesh",
        "Apply",
        {"f:spec": {".": {}, "f:hosts": {}}},
    )


def test_paths_end_where_a_list_begins() -> None:
    fields = {
        "f:spec": {
            "f:ports": {'k:{"port":80}': {"f:name": {}}},
            "f:tls": {".": {}, "f:mode": {}},
            "f:finalizers": {'v:"a"': {}},
        }
    }
    assert list(managed.paths(fields)) == ["spec.ports", "spec.tls.mode", "spec.finalizers"]


def test_broken_managed_fields_read_as_absent() -> None:
    for broken in (None, "x", [1], [{"fieldsV1": 3}]):
        assert managed.entries({"metadata": {"managedFields": broken}}) == ()


TREES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.just({}),
    lambda below: st.dictionaries(st.sampled_from(["f:a", "f:b", "f:c"]), below, max_size=3),
    max_leaves=8,
)


@given(TREES, TREES)
def test_what_was_added_by_union_is_gone_after_minus(left: dict[str, Any], right: dict[str, Any]) -> None:
    both = managed.union(left, right)
    assert managed.union(both, right) == both
    assert managed.minus(left, left) == {}
    assert not set(managed.paths(managed.minus(both, right))) & set(managed.paths(right))


@pytest.mark.parametrize(
    ("status", "message", "code", "retryable"),
    [
        (400, 'admission webhook "validation.istio.io" denied the request: bad', "GM505", False),
        (403, 'admission webhook "validation.gatekeeper.sh" denied the request: bad', "GM505", False),
        (500, 'admission webhook "x" denied the request: bad', "GM505", False),
        (422, "ValidatingAdmissionPolicy 'x' with binding 'y' denied request: bad", "GM505", False),
        (403, 'virtualservices is forbidden: User "x" cannot patch resource', "GM503", False),
        (
            500,
            'Internal error occurred: failed calling webhook "validation.istio.io": connection refused',
            "GM505",
            True,
        ),
        (
            403,
            (
                'virtualservices "x" is forbidden: User "x" cannot patch resource "virtualservices" in API'
                ' group "a.b"'
            ),
            "GM503",
            False,
        ),
        (403, 'forbidden: User "system:anonymous" cannot get path "/apis"', "GM503", False),
        (
            403,
            (
                'virtualservices "x" is forbidden: exceeded quota: small, requested: a=1, used: a=0,'
                " limited: a=0"
            ),
            "GM505",
            True,
        ),
        (403, 'virtualservices "x" is forbidden: violates PodSecurity "restricted:latest"', "GM505", False),
        (
            403,
            "x is forbidden: unable to create new content in namespace shop because it is being terminated",
            "GM514",
            True,
        ),
        (403, "<html><h1>Sign in</h1>", "GM501", True),
        (404, "<!DOCTYPE html><h1>Not found</h1>", "GM501", True),
        (503, "the server is currently unable to handle the request", "GM501", True),
        (500, "etcdserver: request timed out", "GM501", True),
    ],
)
def test_who_refuses_is_told_from_who_cannot_answer(
    status: int, message: str, code: str, retryable: bool
) -> None:
    error = api_error(
        "PATCH /x", status, json.dumps({"kind": "Status", "reason": "Any", "message": message}).encode()
    )
    assert (error.code, error.retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("status", "reason", "words", "other", "known"),
    [
        (
            500,
            "InternalError",
            (
                'failed calling webhook "v.example.com": Post "https://10.0.0.1/?timeout=5s": read tcp'
                " 10.0.0.2:{}->10.0.0.1:443: reset"
            ),
            ("40112", "51999"),
            "could not call the webhook v.example.com",
        ),
        (
            403,
            "Forbidden",
            'x "y" is forbidden: exceeded quota: small, requested: a=1, used: a={}',
            ("3", "4"),
            "exceeded quota: small",
        ),
        (
            403,
            "Forbidden",
            'x is forbidden: User "u" cannot list resource "pods" in API group "" at the cluster scope{}',
            ("", ": RBAC: a"),
            "pods",
        ),
        (
            400,
            "BadRequest",
            'admission webhook "v.example.com" denied the request: {}',
            ("took 3 ms", "took 5 ms"),
            "v.example.com",
        ),
        (503, "ServiceUnavailable", "upstream request id {}", ("1f", "2e"), "the API server failed"),
        (409, "Conflict", "the object has been modified; it is at {}", ("17", "18"), "409 Conflict"),
        (401, "Unauthorized", "token expired {} ago", ("3s", "4s"), "401 Unauthorized"),
        (422, "id {}", "bad", ("1", "2"), "422"),
    ],
)
def test_what_differs_each_time_is_the_servers_detail_and_no_part_of_the_cause(
    status: int, reason: str, words: str, other: tuple[str, str], known: str
) -> None:
    said = [{"kind": "Status", "reason": reason.format(one), "message": words.format(one)} for one in other]
    first, second = (api_error("PATCH /x", status, json.dumps(one).encode()) for one in said)
    assert str(first) == str(second)
    assert known in str(first)
    assert clean(said[1]["message"]) in second.detail


def test_which_of_many_requests_a_weak_server_failed_is_no_part_of_the_cause() -> None:
    first, second = (api_error(what, 503, b"upstream") for what in ("GET /a", "GET /b"))
    assert str(first) == str(second)
    assert "GET /b" in second.detail
    assert "GET /a" in str(api_error("GET /a", 404, b"{}")), "of what is refused, the request is"


@pytest.mark.parametrize(
    "body", [b"upstream", b"<html>bad gateway</html>", b'{"kind": "Status", "reason": "X"}']
)
def test_a_server_that_fails_now_so_and_then_so_has_one_cause(body: bytes) -> None:
    found = [api_error("GET /a", status, body) for status in (500, 502, 503, 504)]
    assert len({str(one) for one in found}) == 1
    assert all(one.retryable and str(one.status) in one.detail for one in found)


def test_the_failure_of_many_at_once_is_that_of_the_first_in_order_not_in_time() -> None:
    slow = threading.Event()

    def work(place: int) -> None:
        if place == 1:
            slow.wait(5)
        elif place == 3:
            slow.set()
        if place in (1, 3):
            raise ClusterError(str(place))

    with pytest.raises(ClusterError, match=r"^1$"):
        together(work, range(6), most=6)


@pytest.mark.parametrize(
    ("times", "written"),
    [
        ((), 0.0),
        (("2026-01-02T03:04:05Z", "2026-01-02T03:04:07Z", "2025-12-31T00:00:00Z"), 1767323047.0),
        (("yesterday", "", None), 0.0),
        (("0001-01-01T00:00:00Z",), 0.0),
    ],
)
def test_when_content_was_written(times: tuple[str | None, ...], written: float) -> None:
    found: list[dict[str, Any]] = [
        {"manager": f"m{number}", "fieldsV1": {}, "time": time} for number, time in enumerate(times)
    ]
    status = {"manager": "istiod", "subresource": "status", "fieldsV1": {}, "time": "2030-01-01T00:00:00Z"}
    assert managed.written(managed.entries({"metadata": {"managedFields": [*found, status]}})) == written


def test_an_apply_is_sent_line_by_line_as_the_server_reads_it_best() -> None:
    key = ObjectKey(group=KIND.group, kind=KIND.kind, namespace="shop", name="x")
    desired = {
        "apiVersion": "networking.istio.io/v1",
        "metadata": {"name": "x"},
        "spec": {"http": [{"name": "a {b: [c"}]},
    }
    sent = apply_request(KIND, "v1", key, desired, "7").body
    assert sent is not None
    assert (
        yaml.safe_load(sent)
        == json.loads(sent)
        == {
            **desired,
            "metadata": {"name": "x", "resourceVersion": "7"},
        }
    )
    assert max(line.count(b'": ') for line in sent.splitlines()) == 1
