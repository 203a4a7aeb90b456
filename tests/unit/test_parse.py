"""Revisions -> policies and findings: kinds, metadata, specs, limits, cache (docs/reliability.md#yaml and
#policies).
"""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.snapshot import File, Snapshot
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.parsing.parse import CacheKey, FileResult, duplicates, parse
from tests.factories import policies_of, snapshot_of

HEAD = "apiVersion: gitmesh.io/v1alpha1\nkind: {kind}\nmetadata: {{name: a, namespace: shop}}\nspec:\n"
TRAFFIC = HEAD.format(kind="TrafficPolicy") + "  destinations: [{name: reviews}]\n"
GOOD = TRAFFIC + "  timeout: 5s\n"
ACCESS = HEAD.format(kind="AccessPolicy")


def found(*texts: str, ignore: frozenset[str] = frozenset()) -> list[Diagnostic]:
    return list(parse(snapshot_of({f"p{n}.yaml": text for n, text in enumerate(texts)}), ignore=ignore)[1])


def lines(*texts: str) -> list[tuple[str, str, str]]:
    """(code, line:column, field) of every finding."""
    return [(d.code, f"{d.at.line}:{d.at.column}", d.field) for d in found(*texts) if d.at]


def only(text: str) -> Diagnostic:
    every = found(text)
    assert len(every) == 1, every
    return every[0]


def test_a_policy_has_its_name_its_spec_and_its_places() -> None:
    (policy,) = policies_of(GOOD)
    assert policy.id == "TrafficPolicy/shop/a"
    assert isinstance(policy.spec, TrafficPolicySpec)
    assert policy.spec.timeout == 5000
    assert policy.at("destinations", 0, "name") == Location(
        source="policies", path="p0.yaml", line=5, column=25
    )
    assert policy.location == Location(source="policies", path="p0.yaml", line=1, column=1)


def test_namespace_defaults_and_labels_are_allowed() -> None:
    (policy,) = policies_of(
        GOOD.replace(
            "{name: a, namespace: shop}", "{name: a, labels: {x/y: z}, annotations: {note: 'long text'}}"
        )
    )
    assert policy.id == "TrafficPolicy/default/a"


def test_many_documents_of_many_files_come_sorted() -> None:
    other = GOOD.replace("name: a,", "name: b,")
    policies = policies_of(
        other + "---\n" + GOOD, ACCESS + "  sources: [{all: true}]\n  destinations: [{all: true}]\n"
    )
    assert [policy.id for policy in policies] == [
        "AccessPolicy/shop/a",
        "TrafficPolicy/shop/a",
        "TrafficPolicy/shop/b",
    ]


def test_other_files_are_no_policies() -> None:
    policies, findings = parse(
        snapshot_of({"README.md": "# kind: x", "a.yml": GOOD, "b.yaml.bak": "[", "run.sh": b"\xff"})
    )
    assert len(policies) == 1
    assert not findings


def test_the_digest_is_of_the_content_not_of_the_place_or_the_order_of_keys() -> None:
    moved = (
        "# comment\n"
        + HEAD.format(kind="TrafficPolicy")
        + "  timeout: 5s\n  destinations:\n  - name: reviews\n"
    )
    changed = GOOD.replace("5s", "6s")
    renamed = GOOD.replace("name: a,", "name: b,")
    digests = [policies_of(text)[0].digest for text in (GOOD, moved, changed, renamed)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert all(len(digest) == 16 for digest in digests)


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("trafficpolicy", "TrafficPolicy"),
        ("TraficPolicy", "TrafficPolicy"),
        ("Accesspolicy", "AccessPolicy"),
        ("VirtualMeshes", "VirtualMesh"),
    ],
)
def test_a_misspelt_kind_is_suggested(kind: str, hint: str) -> None:
    problem = only(GOOD.replace("TrafficPolicy", kind))
    assert (problem.code, problem.hint) == ("GM201", f"did you mean {hint}?")
    assert str(problem.at) == "p0.yaml:2:7"
    assert problem.excerpt == f"kind: {kind}"


@pytest.mark.parametrize("kind", ["Role", "RouteTable", "Suspension", "VirtualDestination"])
def test_kinds_of_later_versions_are_refused_not_ignored(kind: str) -> None:
    assert only(HEAD.format(kind=kind) + "  x: 1\n").code == "GM205"


def test_apiversion_must_be_right() -> None:
    assert lines(GOOD.replace("v1alpha1", "v1")) == [("GM201", "1:13", "apiVersion")]
    assert only(GOOD.replace("v1alpha1", "v1")).hint == "write gitmesh.io/v1alpha1"
    assert lines(GOOD.replace("gitmesh.io", "getmesh.io")) == [("GM201", "1:13", "apiVersion")]
    assert lines(GOOD.replace("apiVersion: gitmesh.io/v1alpha1\n", "")) == [("GM204", "1:1", "apiVersion")]
    assert lines(GOOD.replace("kind: TrafficPolicy\n", "")) == [("GM204", "1:1", "kind")]
    assert lines(GOOD.replace("kind: TrafficPolicy\n", "kind: 5\n")) == [("GM203", "2:7", "kind")]


def test_a_secret_is_sent_out_of_git_and_core_kinds_are_named_as_they_are_written() -> None:
    secret = only("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n")
    assert secret.message == "'Secret' is not a kind of policy"
    assert secret.hint.startswith("take it out of Git and renew what it holds, or")
    other = only("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
    assert other.message == "'ConfigMap' is not a kind of policy"
    assert other.hint.startswith("move it out of the policy path,")


@pytest.mark.parametrize(
    ("version", "kind", "listed"),
    [
        ("v1", "Secret", "/Secret"),
        ("v1", "Namespace", "/Namespace"),
        (
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            "rbac.authorization.k8s.io/ClusterRoleBinding",
        ),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            "admissionregistration.k8s.io/ValidatingWebhookConfiguration",
        ),
    ],
)
def test_P10_other_kinds_are_refused_unless_listed(version: str, kind: str, listed: str) -> None:
    text = (
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x, creationTimestamp: null}}\ndata: {{mode:"
        " 0644, on: yes}\n"
    )
    problem = only(text)
    assert problem.code == "GM201"
    assert listed in problem.hint
    policies, findings = parse(snapshot_of({"a.yaml": GOOD, "b.yaml": text}), ignore=frozenset({listed}))
    assert len(policies) == 1
    assert not findings


def test_P10_our_own_kinds_cannot_be_ignored() -> None:
    ignore = frozenset({"gitmesh.io/TrafficPolicy", "gitmesh.io/Role"})
    assert [d.code for d in found(GOOD + "  timeot: 5s\n", HEAD.format(kind="Role"), ignore=ignore)] == [
        "GM202",
        "GM205",
        "GM203",
    ]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("kind: List\napiVersion: v1\nitems: []\n", "GM201", "lists"),
        ("apiVersion: gitmesh.io/v1alpha1\nkind: Config\nsources: []\n", "GM201", "configuration"),
        ("apiVersion: networking.mesh.gloo.solo.io/v1\nkind: TrafficPolicy\n", "GM205", "Gloo Mesh"),
        ("- a\n- b\n", "GM203", "a mapping with apiVersion"),
        ("just text\n", "GM203", "a mapping with apiVersion"),
    ],
)
def test_documents_that_are_no_policies_are_told_what_they_are(text: str, code: str, words: str) -> None:
    problem = only(text)
    assert problem.code == code
    assert words in problem.message


@pytest.mark.parametrize(
    "name", ["..", ".", "a/b", "x?force=true", "A", "a_b", "-a", "a" * 254, "a..b", "a\n"]
)
@pytest.mark.parametrize("field", ["name", "namespace"])
def test_P09_names_that_would_change_a_path(name: str, field: str) -> None:
    quoted = '"' + name.replace("\n", "\\n") + '"'
    metadata = {"name": "a", "namespace": "b", field: quoted}
    text = GOOD.replace(
        "{name: a, namespace: shop}", f"{{name: {metadata['name']}, namespace: {metadata['namespace']}}}"
    )
    assert [(d.code, d.field) for d in found(text)] == [("GM203", f"metadata.{field}")]


def test_P09_empty_names_and_names_of_services() -> None:
    assert [d.code for d in found(GOOD.replace("name: a,", 'name: "",'))] == ["GM203"]
    assert lines(GOOD.replace("[{name: reviews}]", '[{name: ".."}]')) == [
        ("GM203", "5:25", "spec.destinations[0].name")
    ]
    assert only(GOOD.replace("name: a, ", "")).code == "GM204"
    assert [d.field for d in found(GOOD.replace("{name: a,", "{name: a, uid: x,"))] == ["metadata.uid"]


def test_P01_duplicates_name_both_places() -> None:
    first = parse(snapshot_of({"a.yaml": GOOD}, "one"))[0]
    second = parse(snapshot_of({"b.yaml": "# moved\n" + GOOD}, "two"))[0]
    third = parse(snapshot_of({"c.yaml": GOOD + "---\n" + GOOD}, "two"))[0]
    (problem,) = duplicates(first + second)
    assert (problem.code, str(problem.at), problem.policy) == ("GM206", "b.yaml:2:1", "TrafficPolicy/shop/a")
    assert "a.yaml:1:1 of source one" in problem.message
    assert duplicates(second + first) == (problem,)
    assert [str(d.at) for d in duplicates(third)] == ["c.yaml:8:1"]
    assert len(duplicates(first + second + third)) == 3
    assert duplicates(first) == ()


@pytest.mark.parametrize(("rules", "field"), [("[]", "spec.rules"), ("[{}]", "spec.rules[0]"), ("", "")])
def test_P03_rules_are_never_empty(rules: str, field: str) -> None:
    text = ACCESS + f"  sources: [{{all: true}}]\n  destinations: [{{name: x}}]\n  rules: {rules}\n"
    assert [(d.code, d.field) for d in found(text)] == [("GM203", field)]


@pytest.mark.parametrize("kind", ["TrafficPolicy", "AccessPolicy"])
@pytest.mark.parametrize(
    "destinations", ["", "  destinations: []\n", "  destinations: [{}]\n", "  destinations: {}\n"]
)
def test_P04_no_selector_means_an_error_never_everything(kind: str, destinations: str) -> None:
    rest = "  timeout: 5s\n" if kind == "TrafficPolicy" else "  sources: [{all: true}]\n"
    problem = only(HEAD.format(kind=kind) + rest + destinations)
    assert problem.code == ("GM203" if destinations else "GM204")
    assert problem.field.startswith("spec.destinations")


def test_P04_access_without_sources_is_an_error() -> None:
    assert [d.field for d in found(ACCESS + "  destinations: [{all: true}]\n")] == ["spec.sources"]
    assert [d.field for d in found(ACCESS + "  sources: [{}]\n  destinations: [{all: true}]\n")] == [
        "spec.sources[0]"
    ]


@pytest.mark.parametrize("regex", ["(?=x)a", "(?<!a)b", r"(a)\1", "(", "a" * 257, ""])
def test_P11_expressions_that_re2_does_not_know(regex: str) -> None:
    text = TRAFFIC + f"  timeout: 5s\n  matches: [{{path: {{regex: '{regex}'}}}}]\n"
    assert [(d.code, d.field) for d in found(text)] == [("GM203", "spec.matches[0].path.regex")]


def test_P11_expressions_that_explode_elsewhere_are_harmless() -> None:
    assert policies_of(TRAFFIC + "  timeout: 5s\n  matches: [{path: {regex: '(a+)+$'}}]\n")


@pytest.mark.parametrize(
    "value",
    [
        "1e9h",
        "-1s",
        "5",
        "0s",
        "0.5ms",
        '""',
        "99999h",
        "5 s",
        "1s1h",
        "true",
        "[5s]",
        '"' + "9" * 5000 + 's"',
    ],
)
def test_P12_durations(value: str) -> None:
    problem = only(TRAFFIC + f"  timeout: {value}\n")
    assert (problem.code, problem.field) == ("GM203", "spec.timeout")
    assert str(problem.at) == "p0.yaml:6:12"
    assert len(problem.message) < 200


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("split: [{weight: -1, destination: {name: a}}]", "spec.split[0].weight"),
        ("split: [{weight: 0, destination: {name: a}}]", "spec.split"),
        ("split: [{weight: 1.5, destination: {name: a}}]", "spec.split[0].weight"),
        ("split: []", "spec.split"),
        ("split: [{destination: {name: a, port: 0}}]", "spec.split[0].destination.port"),
        ("split: [{destination: {name: a, port: 65536}}]", "spec.split[0].destination.port"),
        ("split: [{destination: {name: a, port: HTTP_}}]", "spec.split[0].destination.port"),
        ("mirror: [{destination: {name: a}, percent: 101}]", "spec.mirror[0].percent"),
        ("mirror: [{destination: {name: a}}]", "spec.mirror[0].percent"),
        ("fault: {abort: {httpStatus: 99, percent: 1}}", "spec.fault.abort.httpStatus"),
        ("retries: {attempts: -1}", "spec.retries.attempts"),
        ("retries: {attempts: 1, retryOn: [503]}", "spec.retries.retryOn[0]"),
        ("retries: {disabled: false}", "spec.retries.disabled"),
        ("retries: {disabled: true, attempts: 1}", "spec.retries.attempts"),
        ("retries: 3", "spec.retries"),
        ("tls: {mode: Simple, sni: 1.10}", "spec.tls.sni"),
    ],
)
def test_P13_values_out_of_range(text: str, field: str) -> None:
    problem = only(TRAFFIC + f"  {text}\n")
    assert problem.field == field
    assert problem.code in ("GM203", "GM204", "GM202")
    assert problem.policy == "TrafficPolicy/shop/a"


def test_P13_weights_are_relative() -> None:
    (policy,) = policies_of(
        TRAFFIC + "  split: [{weight: 33, destination: {name: a}}, {weight: 101, destination: {name: b}}]\n"
    )
    assert isinstance(policy.spec, TrafficPolicySpec)
    assert policy.spec.split is not None


@pytest.mark.parametrize(
    ("line", "place", "field", "hint"),
    [
        ("timeot: 5s", "6:3", "spec.timeot", "did you mean timeout?"),
        ("retries: {attemps: 1, attempts: 1}", "6:13", "spec.retries.attemps", "did you mean attempts?"),
        ("retries: {attempts: 1, value: 3}", "6:26", "spec.retries.value", ""),
        ("perTryTimeout: 5s", "6:3", "spec.perTryTimeout", ""),
        ("Timeout: 5s", "6:3", "spec.Timeout", "did you mean timeout?"),
        ("outlier_detection: {}", "6:3", "spec.outlier_detection", "did you mean outlierDetection?"),
    ],
)
def test_unknown_fields_stand_at_the_key_with_a_suggestion(
    line: str, place: str, field: str, hint: str
) -> None:
    text = (
        TRAFFIC
        + f"  {line}\n"
        + ("" if "timeout" in line.lower() and "per" not in line else "  timeout: 5s\n")
    )
    every = [d for d in found(text) if d.code == "GM202"]
    assert [(f"{d.at.line}:{d.at.column}", d.field) for d in every if d.at] == [(place, field)]
    assert hint in every[0].hint


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (GOOD + "  jwt: {}\n", "spec.jwt"),
        (GOOD + "  rateLimit: {}\n", "spec.rateLimit"),
        (GOOD + "  matches: [{method: GET, grpc: {service: x}}]\n", "spec.matches[0].grpc"),
        (
            GOOD + "  mirror: [{percent: 5, destination: {name: x, cluster: east}}]\n",
            "spec.mirror[0].destination.cluster",
        ),
        (GOOD + "  retries: {attempts: 1, budget: {}}\n", "spec.retries.budget"),
        (
            GOOD.replace("name: reviews", "name: reviews, kind: VirtualDestination"),
            "spec.destinations[0].kind",
        ),
        (
            ACCESS + "  enforcement: Audit\n  sources: [{all: true}]\n  destinations: [{all: true}]\n",
            "spec.enforcement",
        ),
        (
            HEAD.format(kind="VirtualMesh")
            + "  meshes: [{cluster: east}]\n  mtls: {mode: Strict, ports: []}\n",
            "spec.mtls.ports",
        ),
    ],
)
def test_fields_and_values_of_later_versions_are_named_as_such(text: str, field: str) -> None:
    problem = only(text)
    assert (problem.code, problem.field) == ("GM205", field)
    assert "not supported by this version" in problem.message


def test_S12_a_message_does_not_repeat_the_value_of_a_credential() -> None:
    text = GOOD + "  headers: {request: {set: {x-team: 9988776655}}}\n"
    assert only(text.replace("x-team", "Authorization")).message == "Authorization must be text, not ***"
    assert only(text).message == "x-team must be text, not 9988776655"


def test_values_of_a_closed_set_are_listed() -> None:
    problem = only(ACCESS + "  action: allow\n  sources: [{all: true}]\n  destinations: [{all: true}]\n")
    assert problem.message == "action must be Allow or Deny, not 'allow'"
    assert problem.hint == "did you mean Allow?"
    assert str(problem.at) == "p0.yaml:5:11"


def test_all_errors_of_all_files_at_once() -> None:
    text = TRAFFIC + "  timeout: 5\n  retires: {}\n  mirror: [{destination: {name: A}, percent: no}]\n"
    assert [(d.code, d.field) for d in found(text, "a: [", GOOD + "---\n" + ACCESS + "  action: x\n")] == [
        ("GM203", "spec.timeout"),
        ("GM202", "spec.retires"),
        ("GM203", "spec.mirror[0].destination.name"),
        ("GM105", ""),
        ("GM101", ""),
        ("GM204", "spec.destinations"),
        ("GM204", "spec.sources"),
        ("GM203", "spec.action"),
    ]


def test_Y01_duplicate_key_refuses_the_policy() -> None:
    policies, findings = parse(snapshot_of({"a.yaml": GOOD + "  timeout: 6s\n"}))
    assert policies == ()
    assert [(d.code, d.at.line) for d in findings if d.at] == [("GM104", 7)]


def test_Y06_a_value_that_cannot_be_read_is_one_finding() -> None:
    assert [d.code for d in found(TRAFFIC + "  timeout: no\n")] == ["GM105"]
    assert [d.code for d in found(TRAFFIC + "  timeout:\n")] == ["GM203"]
    assert [d.code for d in found(TRAFFIC + "  timeout: 5s\n  matches: [{port: 0x50}]\n")] == ["GM105"]


def test_Y12_a_decimal_is_no_text() -> None:
    problem = only(GOOD.replace("reviews", "1.10"))
    assert problem.code == "GM203"
    assert "quotes" in problem.hint


def test_header_names_that_differ_by_case_only_are_one_header() -> None:
    problem = only(TRAFFIC + "  headers: {request: {set: {X-A: '1', x-a: '2'}}}\n")
    assert (problem.code, problem.field) == ("GM203", "spec.headers.request.set")


def test_long_values_are_not_repeated() -> None:
    secret = "S" + "ecret" * 40
    text = TRAFFIC + f"  timeout: {secret}\n  tls: {{mode: {secret}}}\n  mirror: {secret}\n"
    assert not any(secret in d.message + d.hint for d in found(text))


def test_very_many_findings_of_one_document_are_cut_and_counted() -> None:
    text = TRAFFIC + "  timeout: 5s\n" + "".join(f"  unknown{n}: 1\n" for n in range(14_000))
    started = time.process_time()
    every = found(text)
    assert time.process_time() - started < 5
    assert len(every) == 101
    assert any(d.code == "GM103" and "13900 more" in d.message for d in every)


def test_P18_one_bad_file_does_not_hide_the_others() -> None:
    policies, findings = parse(
        snapshot_of(
            {f"p{n}.yaml": GOOD.replace("name: a", f"name: a{n}") for n in range(200)} | {"bad.yaml": "a: ["}
        )
    )
    assert len(policies) == 200
    assert [d.at.path for d in findings if d.at] == ["bad.yaml"]


def test_G09_names_that_are_one_on_other_systems() -> None:
    files = {"A.yaml": GOOD, "a.yaml": ACCESS + "  sources: [{all: true}]\n  destinations: [{all: true}]\n"}
    assert [(d.code, d.at.path) for d in parse(snapshot_of(files))[1] if d.at] == [("GM109", "a.yaml")]
    twins = {"caf\u00e9.md": "", "cafe\u0301.md": "", "p.yaml": GOOD}
    assert [d.code for d in parse(snapshot_of(twins))[1]] == ["GM109"]


def test_G18_other_errors_come_alone() -> None:
    assert [d.code for d in found("a: [")] == ["GM101"]


def test_G11_too_many_files_and_G12_too_many_bytes() -> None:
    many = tuple(File(path=f"{n}.md", blob="", content=b"") for n in range(20_001))
    assert [d.code for d in parse(Snapshot(source="s", commit="", files=many))[1]] == ["GM103"]
    big = (File(path="a.bin", blob="", content=bytes(64 * 2**20 + 1)),)
    assert [d.code for d in parse(Snapshot(source="s", commit="", files=big))[1]] == ["GM103"]


def test_findings_of_the_snapshot_are_passed_on() -> None:
    link = finding("GM108", "a symbolic link", at=Location(source="s", path="x.yaml"))
    snapshot = Snapshot(source="s", commit="", files=snapshot_of({"a.yaml": GOOD}).files, diagnostics=(link,))
    assert parse(snapshot)[1] == (link,)


def test_an_unchanged_file_is_not_parsed_again() -> None:
    cache: dict[CacheKey, FileResult] = {}
    snapshot = snapshot_of({"a.yaml": GOOD, "b.yaml": "x: ["})
    first = parse(snapshot, cache=cache)
    again = parse(snapshot, cache=cache)
    assert again == first
    assert again[0][0] is first[0][0]
    assert parse(snapshot) == first
    other = parse(snapshot_of({"c.yaml": GOOD}), cache=cache)
    assert str(other[0][0].location) == "c.yaml:1:1"


def test_the_cache_knows_what_is_ignored_and_stays_bounded() -> None:
    cache: dict[CacheKey, FileResult] = {}
    secret = snapshot_of({"a.yaml": GOOD, "b.yaml": "apiVersion: v1\nkind: Secret\n"})
    assert parse(secret, cache=cache)[1]
    assert not parse(secret, ignore=frozenset({"/Secret"}), cache=cache)[1]
    for number in range(1500):
        parse(snapshot_of({"a.yaml": f"# {number}\n"}, "other"), cache=cache)
    assert len(cache) <= 1010
    assert sum(1 for key in cache if key[0] == "policies") == 4


def test_access_policies_keep_their_form() -> None:
    (policy,) = policies_of(
        ACCESS
        + "  sources: [{ipBlocks: [10.0.0.0/8]}]\n  destinations: [{all: true}]\n  rules: [{ports: [80,"
        " http]}]\n"
    )
    assert isinstance(policy.spec, AccessPolicySpec)
    assert policy.spec.rules is not None
    assert policy.spec.rules[0].ports == (80, "http")


def test_start_up_imports_nothing_heavy() -> None:
    heavy = ("kubernetes", "aiohttp", "git", "rich", "deepdiff", "re2")
    code = f"import sys, gitmesh.parsing.parse; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("{ipBlocks: [10.0.0.5/0.0.0.0]}", "address/bits"),
        ("{ipBlocks: [10.1.2.3/8]}", "the network is 10.0.0.0/8"),
        ("{ipBlocks: ['fe80::1%eth0']}", "address/bits"),
    ],
)
def test_a_network_that_means_more_than_it_seems_is_refused(item: str, reason: str) -> None:
    (one,) = found(ACCESS + f"  sources: [{item}]\n  destinations: [{{all: true}}]\n")
    assert reason in one.message


@pytest.mark.parametrize(
    "rule", ["{paths: [/admin/**]}", "{paths: ['**x']}", "{hosts: ['**.evil.example']}", "{paths: ['/a*b']}"]
)
def test_a_pattern_with_stars_that_would_be_taken_literally_is_refused(rule: str) -> None:
    (one,) = found(
        ACCESS + f"  sources: [{{all: true}}]\n  destinations: [{{all: true}}]\n  rules: [{rule}]\n"
    )
    assert "beginning or at the end only" in one.message


@pytest.mark.parametrize(
    "cookie", ['{name: "sid\\r\\nSet-Cookie: evil=1"}', "{name: a b}", '{name: sid, path: "/;Domain=evil"}']
)
def test_a_cookie_cannot_say_more_than_its_name_and_path(cookie: str) -> None:
    (one,) = found(TRAFFIC + f"  loadBalancing: {{consistentHash: {{cookie: {cookie}}}}}\n")
    assert "cookie" in one.field


@pytest.mark.parametrize("number", ["1", "1.0"])
@pytest.mark.parametrize(
    "text",
    [
        "  destinations: [{{all: {}}}]\n  timeout: 1s\n",
        "  destinations: [{{name: a}}]\n  timeout: {{disabled: {}}}\n",
        "  destinations: [{{name: a}}]\n  timeout: 1s\n  matches: [{{headers: [{{name: x, present: {}}}]}}]"
        "\n",
        "  destinations: [{{name: a}}]\n  loadBalancing: {{consistentHash: {{sourceIp: {}}}}}\n",
    ],
)
def test_a_number_is_not_true(text: str, number: str) -> None:
    finding = only(HEAD.format(kind="TrafficPolicy") + text.format(number))
    assert (finding.code, finding.message.partition(" ")[2]) == ("GM203", f"must be true, not {number}")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("  destinations: [{all: yes}]\n  timeout: 1s\n", "all must be true"),
        ("  destinations: [{all: True}]\n  timeout: 1s\n", "all must be true"),
        ("  destinations: [{name: a}]\n  timeout: {disabled: on}\n", "disabled must be true"),
        (
            (
                "  destinations: [{name: a}]\n  timeout: 1s\n  matches: [{path: {prefix: /a, ignoreCase:"
                " yes}}]\n"
            ),
            "ignoreCase must be true or false",
        ),
        (
            "  destinations: [{name: a}]\n  split: [{destination: {name: b}, weight: 1_0}]\n",
            "weight must be a whole number",
        ),
        (
            "  destinations: [{name: a}]\n  timeout: 1:30\n",
            "a duration is text with a unit, such as 250ms, 5s or 1m30s",
        ),
        ("  destinations: [{name: yes}]\n  timeout: 1s\n", 'quote it: "yes"'),
        ("  destinations: [{labels: {a: no}}]\n  timeout: 1s\n", 'quote it: "no"'),
        ("  destinations: [{name: a}]\n  headers: {request: {set: {x: on}}}\n", 'quote it: "on"'),
    ],
)
def test_the_hint_for_an_ambiguous_value_leads_to_one_that_is_taken(text: str, hint: str) -> None:
    finding = only(HEAD.format(kind="TrafficPolicy") + text)
    assert (finding.code, finding.hint) == ("GM105", hint)
