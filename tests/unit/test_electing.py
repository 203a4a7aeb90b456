"""Two translators that write one kind: an object has one writer, which the ledger remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from gitmesh.adapters.fleet import LocalFleet
from gitmesh.adapters.memory import MemoryCluster
from gitmesh.diagnostics import Severity
from gitmesh.discovery.facts_codec import with_digest
from gitmesh.model.admission import Subject
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.ledger import Entry, Ledger
from gitmesh.model.manifests import Translation
from gitmesh.model.objects import decode
from gitmesh.model.report import Report, Stage
from gitmesh.model.units import Unit
from gitmesh.pipeline import run
from gitmesh.planning.ledger_codec import dump_ledger, load_ledger
from gitmesh.planning.options import Memo, Options
from tests.fake_mesh import FakeMesh, rule
from tests.properties.history import History
from tests.unit.test_pipeline import facts, slow


class Named(FakeMesh):
    """The fake mesh under a name; its objects say whose they are, unless all say the same."""

    def __init__(self, name: str, *, alike: bool = False, decides: Subject = "routing") -> None:
        super().__init__(decides=decides)
        self.name, self.alike = name, alike

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        made = super().translate(unit, meshes, facts)
        by = {} if self.alike else {"by": self.name}
        return replace(made, fragments=tuple(replace(one, spec={**one.spec, **by}) for one in made.fragments))


class TwoWriters:
    """A cluster, and the meshes that are in it."""

    def __init__(self) -> None:
        self.source = History("alpha")
        self.source.commit(yaml.safe_dump(slow("a")), good=True)
        self.cluster = MemoryCluster("east", facts=facts("east"))

    def run(self, *meshes: Named) -> Report:
        """A cycle of a process that knows these translators."""
        found = tuple(Mesh(translator=mesh.name, name=mesh.name) for mesh in meshes)
        known = replace(facts("east"), meshes=found)
        pods = tuple(replace(one, mesh=found[0].name) for one in known.workloads)
        self.cluster.current_facts = with_digest(replace(known, workloads=pods))
        return run(
            [self.source],
            LocalFleet([self.cluster]),
            {mesh.name: mesh for mesh in meshes},
            until=Stage.APPLY,
            options=Options(instance="shop", clusters={"east": {}}),
            memo=Memo(),
            clock=lambda: 0.0,
        )

    @property
    def writer(self) -> str:
        """Whose content is live."""
        body = decode(self.cluster.objects[rule("reviews")].body)
        return str(body["spec"].get("by", ""))


A, B = Named("a"), Named("b")


def said(report: Report) -> list[tuple[str, Severity]]:
    return [(one.code, one.severity) for one in report.diagnostics if one.code in ("GM311", "GM417")]


@pytest.mark.parametrize("order", [(A, B), (B, A)])
def test_the_first_by_name_writes_what_nobody_wrote_before(order: tuple[Named, Named]) -> None:
    pair = TwoWriters()
    report = pair.run(*order)
    assert (pair.writer, said(report)) == ("a", [("GM417", Severity.WARNING)])
    assert pair.run(*order).clusters["east"].plan.writes == ()  # type: ignore[union-attr]


def test_who_wrote_it_goes_on_until_it_is_gone() -> None:
    pair = TwoWriters()
    pair.run(B)
    for _ in range(2):
        pair.run(A, B)
        assert pair.writer == "b"
    pair.run(A)
    assert pair.writer == "a"
    pair.run(A, B)
    assert pair.writer == "a"


def test_what_both_want_alike_is_told_to_nobody() -> None:
    pair = TwoWriters()
    first, second = (Named(name, alike=True) for name in ("a", "b"))
    pair.run(second)
    assert said(pair.run(first, second)) == []
    assert {one.writer for one in pair.cluster.load("shop").ledger.entries.values()} == {"b"}


def test_of_what_decides_who_may_call_it_is_an_error() -> None:
    pair = TwoWriters()
    report = pair.run(*(Named(name, decides="access") for name in ("a", "b")))
    assert (pair.writer, said(report)) == ("a", [("GM417", Severity.ERROR)])


def entries(*writers: str) -> Mapping[Any, Entry]:
    return {rule(f"o{number}"): Entry(uid="u", writer=name) for number, name in enumerate(writers)}


@pytest.mark.parametrize(
    ("writers", "kept"),
    [
        (("a", "a"), "a"),
        (("a", "b"), {"shop": {"o0": "a", "o1": "b"}}),
        (("a", ""), {"shop": {"o0": "a", "o1": ""}}),
        ((), None),
    ],
)
def test_the_ledger_keeps_writers_by_kind_where_it_can(writers: tuple[str, ...], kept: Any) -> None:
    ledger = Ledger(instance="shop", entries=entries(*writers))
    document = dump_ledger(ledger)
    assert document["writers"].get("fake.test/Rule") == kept
    assert load_ledger(document) == ledger


def test_an_older_ledger_knows_no_writers() -> None:
    document = {**dump_ledger(Ledger(instance="shop", entries=entries("a"))), "schema": 3}
    del document["writers"]
    assert load_ledger(document).entries == entries("")
