"""What holds of the cases without a lab: they can be read, prove every feature, and their policies mean what
they say they mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from gitmesh_istio.support import AMBIENT

from gitmesh.diagnostics import Diagnostic, Severity
from gitmesh.model.features import support_of
from tests.e2e.bounds import binomial_bounds
from tests.e2e.cases import POLICIES, Case, CaseError, all_cases, read_case, repository
from tests.e2e.facts import world_facts
from tests.e2e.features import FEATURES, RULES, TRAPS
from tests.e2e.promises import PROMISED, SAID_BY_MESHES, Promise
from tests.e2e.proof import PAGE, page
from tests.lab.bookshop import EAST
from tests.lab.installation import pod_places
from tests.rendered import rendered

CASES = all_cases()
KNOWN: Mapping[str, Mapping[str, str]] = {"features": FEATURES, "rules": RULES, "traps": TRAPS}


def place(diagnostic: Diagnostic) -> str:
    """file:line below the policies' folder."""
    assert diagnostic.at is not None
    return f"{diagnostic.at.path.removeprefix(f'{POLICIES}/')}:{diagnostic.at.line}"


@pytest.mark.parametrize("kind", sorted(KNOWN))
def test_every_row_has_a_case_and_every_name_is_a_row(kind: str) -> None:
    named = {name for case in CASES for name in getattr(case.said, kind)}
    assert named == set(KNOWN[kind]), {
        "without a case": sorted(set(KNOWN[kind]) - named),
        "no row": sorted(named - set(KNOWN[kind])),
    }


def test_the_page_is_as_the_cases_say() -> None:
    assert PAGE.is_file(), "run `python -m tests.e2e.proof`"
    assert PAGE.read_text(encoding="utf-8") == page(CASES), "run `python -m tests.e2e.proof`"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_findings_of_a_case_are_those_it_expects(case: Case) -> None:
    told = [
        d
        for d in rendered(repository(case.after), world_facts()).findings
        if d.severity is not Severity.INFO and d.at
    ]
    found = {(d.code, place(d)): d.message for d in told if not place(d).startswith("base/")}
    assert found.keys() == {
        (one.code, one.at) for one in case.said.findings if one.code not in SAID_BY_MESHES
    }, found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_ambient_tells_beside_is_promised_by_its_table(case: Case) -> None:
    """Each code that sidecars' meshes do not tell has a feature of which the table says that it is not full;
    of one that ambient does not have at all, GM301 is told."""
    promised = Promise(case)
    levels = {support_of(AMBIENT, name).level for name in {*promised.asked, *case.said.features}}
    assert all(levels & PROMISED[code] for code in promised.beside), (promised.beside, levels)
    lacking = [name for name in promised.asked if support_of(AMBIENT, name).level == "none"]
    assert not lacking or "GM301" in {code for code, _ in promised.told}, lacking


@pytest.mark.parametrize("case", [case for case in CASES if case.before], ids=lambda case: case.name)
def test_what_a_change_starts_from_is_without_errors(case: Case) -> None:
    assert not [d.message for d in rendered(repository(case.before), world_facts()).findings if d.is_error]


def test_the_base_says_nothing_but_what_it_means() -> None:
    said = rendered(repository({}), world_facts())
    assert not said.findings
    kinds = sorted(body["kind"] for body in said.bodies)
    assert kinds == ["AuthorizationPolicy", "AuthorizationPolicy", "PeerAuthentication", "PeerAuthentication"]


def test_addresses_that_cases_name_are_those_of_the_pods() -> None:
    addresses = {place.name: place.ip for place in pod_places(EAST)}
    named = ("productpage", "probe", "clerk", "plain")
    assert [addresses[name] for name in named] == ["10.21.0.10", "10.21.0.11", "10.21.0.20", "10.21.0.22"]


def test_a_case_replaces_a_policy_of_the_base_by_its_name() -> None:
    name = (
        "{apiVersion: gitmesh.io/v1alpha1, kind: VirtualMesh, metadata: {namespace: bookshop, name: east},"
        " spec: {}}"
    )
    files = repository({"mesh.yaml": name})
    assert "name: east" not in files[f"{POLICIES}/base/mesh.yaml"]
    assert "name: west" in files[f"{POLICIES}/base/mesh.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        "{proves: a whole sentence, rules: [inheritance], requests: [{}], reqests: []}",
        "{proves: a whole sentence, rules: [inheritance], requests: [{expect: {stauts: 200}}]}",
        "{proves: a whole sentence, rules: [inheritance], requests: [{expect: {status: '200'}}]}",
        "{proves: a whole sentence, rules: [inheritance], requests: [{expect: {status: 200, error: reset}}]}",
        "{proves: a whole sentence, rules: [inheritance], requests: [{path: /a, path: /b}]}",
        "{proves: a whole sentence, rules: [inheritance], requests: []}",
        "{proves: a whole sentence, requests: [{}]}",
        "{proves: a whole sentence, rules: [inheritance], requests: [{}], before: [gone.yaml]}",
        "{proves: a whole sentence, rules: [inheritance], requests: [{}], never: [{from: probe}]}",
    ],
)
def test_a_mistake_in_a_case_is_an_error(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "feature" / "case"
    folder.mkdir(parents=True)
    (folder / "policies.yaml").write_text("{}", encoding="utf-8")
    (folder / "case.yaml").write_text(
        "{proves: a whole sentence, rules: [inheritance], requests: [{}]}", encoding="utf-8"
    )
    assert read_case(folder).said.requests
    (folder / "case.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(CaseError, match=r"case\.yaml"):
        read_case(folder)


@pytest.mark.parametrize(
    ("share", "low", "high"), [(0.0, 0, 0), (1.0, 300, 300), (0.5, 108, 192), (0.1, 8, 58)]
)
def test_bounds_are_those_of_the_binomial_distribution(share: float, low: int, high: int) -> None:
    found = binomial_bounds(300, share)
    assert found == (low, high)
