"""Laws: no shape of a live object stops the work on its cluster; what can be read of it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gitmesh.adapters.writing import live_object
from gitmesh.discovery.discover import assemble
from gitmesh.discovery.facts_codec import dump_facts, load_facts, with_digest
from gitmesh.discovery.reducer import Reducer
from gitmesh.model.admission import Effect
from gitmesh.model.conditions import RequestMatch
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.manifests import Manifest
from gitmesh.model.objects import ObjectKey, canonical, decode
from gitmesh.model.routes import Route, Subset
from gitmesh.model.services import Service
from gitmesh.model.units import RoutingUnit
from gitmesh.ports import Translator
from tests.properties.malformed import ODD, malformed
from tests.rendered import rendered, translators
from tests.unit.bookshop import bookshop

MESSAGE = {"level": "ERROR", "type": {"code": "IST0101", "name": "x"}, "documentationUrl": "https://istio.io"}
STATUS = {
    "conditions": [{"type": "ZtunnelAccepted", "status": "False", "reason": "x"}],
    "validationMessages": [MESSAGE],
}
GOLDEN = Path(__file__).parents[1] / "golden"


def _golden(name: str) -> tuple[ClusterFacts, Mapping[ObjectKey, Manifest]]:
    """The facts of one cluster, and what all golden cases of a mesh write there."""
    facts = load_facts(yaml.safe_load((GOLDEN / name / "facts.yaml").read_text()))
    cases = (
        rendered({"p.yaml": path.read_text()}, facts).manifests
        for path in sorted((GOLDEN / name).glob("*/policies.yaml"))
    )
    return facts["east"], {manifest.key: manifest for found in cases for manifest in found}


UNIT = RoutingUnit(
    home="east",
    written="east",
    service=Service(namespace="shop", name="reviews"),
    subsets=(Subset(labels=(("version", "v1"),)),),
    routes=(Route(match=RequestMatch(), fields={}),),
)
MESHES: Mapping[str, tuple[Translator, ClusterFacts, Mapping[ObjectKey, Manifest]]] = {
    name: (translator, *_golden(name)) for name, translator in translators().items()
}


@pytest.mark.parametrize("name", MESHES)
@given(st.data())
def test_translators_read_live_objects_of_any_shape(name: str, data: st.DataObject) -> None:
    translator, facts, ours = MESHES[name]
    bodies = [decode(manifest.body) for manifest in ours.values()]
    found = {_key(body): body for body in data.draw(st.lists(malformed(bodies), min_size=1, max_size=4))}
    status = canonical(data.draw(malformed([STATUS])))

    for key, body in found.items():
        live = live_object(key, "u", body)
        translator.decides(body)
        translator.verdict(replace(live, status=status, generation=1), facts.meshes)
        translator.foreign([live], ours, facts.meshes)
        if stranger := translator.reduced(key, body, facts.meshes):
            beside = with_digest(replace(facts, strangers=(stranger,)))
            assert load_facts(dump_facts({"east": beside}))["east"].digest == beside.digest
            translator.surroundings(beside, facts.meshes)(UNIT)
        for after in (decode(ours[key].body) if key in ours else None, None):
            assert translator.effect(body, after) in Effect
            state = translator.between(body, after, frozenset())
            assert state is None or canonical(state)


def _key(body: Mapping[str, Any]) -> ObjectKey:
    namespace = body["metadata"].get("namespace")
    group = body["apiVersion"].rpartition("/")[0]
    return ObjectKey(
        group=group, kind=body["kind"], namespace=str(namespace or "default"), name=body["metadata"]["name"]
    )


OBJECTS = [{**body, "status": {"phase": "Running"}} for body in bookshop()]


@given(st.lists(malformed(OBJECTS), min_size=1, max_size=6), st.sampled_from(ODD))
def test_discovery_reads_objects_of_any_shape(objects: list[dict[str, Any]], odd: object) -> None:
    found = tuple(translators().values())
    reducer = Reducer(found)
    whole = [*OBJECTS, *objects, {"apiVersion": odd, "kind": odd, "metadata": odd}]
    rows = [row for body in whole if (row := reducer.reduce(body)) is not None]
    assert assemble("east", {}, rows, found).cluster == "east"
