"""The ledger as a document."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitmesh.model.ledger import Entry, Ledger
from gitmesh.model.objects import ObjectKey
from gitmesh.planning.ledger_codec import (
    FutureLedgerError,
    dump_ledger,
    encode_ledger,
    load_ledger,
    read_ledger,
)

names = st.text(alphabet="abc.-", min_size=1, max_size=5)
keys = st.builds(ObjectKey, group=names | st.just(""), kind=names, namespace=names | st.just(""), name=names)
warnings = st.lists(names, max_size=2).map(tuple)
entries = st.builds(
    Entry, uid=names | st.just(""), digest=names, commit=names | st.just(""), warnings=warnings
)
ledgers = st.builds(
    lambda **fields: Ledger(**fields),
    instance=names,
    cluster_uid=names,
    sources=st.dictionaries(names, names, max_size=2),
    entries=st.dictionaries(keys, entries, max_size=6),
)


@given(ledgers)
def test_ledgers_survive(ledger: Ledger) -> None:
    assert load_ledger(dump_ledger(ledger)) == ledger
    assert read_ledger(encode_ledger(ledger), "other", "7").ledger == ledger


@given(ledgers)
def test_order_of_entries_does_not_change_the_bytes(ledger: Ledger) -> None:
    turned = Ledger(
        instance=ledger.instance,
        cluster_uid=ledger.cluster_uid,
        sources=dict(reversed(list(ledger.sources.items()))),
        entries=dict(reversed(list(ledger.entries.items()))),
    )
    assert encode_ledger(turned) == encode_ledger(ledger)


VALID = dump_ledger(
    Ledger(instance="shop", entries={ObjectKey(group="g", kind="K", namespace="n", name="x"): Entry(uid="u")})
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff",
        b"[]",
        b"{}",
        json.dumps({**VALID, "schema": 0}).encode(),
        json.dumps({**VALID, "schema": True}).encode(),
        json.dumps({**VALID, "instance": 3}).encode(),
        json.dumps({**VALID, "entries": []}).encode(),
        json.dumps({**VALID, "entries": {"g/K": {"n": {"x": ["u", "d", 9]}}}}).encode(),
        json.dumps({**VALID, "entries": {"g/K": {"n": {"x": "u"}}}}).encode(),
        json.dumps({**VALID, "entries": {"g/K": {"n": {"x": ["u", "d", 0, 7]}}}}).encode(),
        json.dumps({**VALID, "more": 1}).encode(),
        encode_ledger(Ledger(instance="shop"))[:-9],
    ],
)
def test_X11_content_that_is_no_ledger_reads_as_corrupt(content: bytes) -> None:
    stored = read_ledger(content, "shop", "7")
    assert stored.corrupt
    assert stored.ledger == Ledger(instance="shop")
    assert stored.version == "7"


def test_X11_a_ledger_of_a_newer_version_is_refused() -> None:
    with pytest.raises(FutureLedgerError, match="newer"):
        read_ledger(json.dumps({**VALID, "schema": 99, "anything": 1}).encode(), "shop", "7")
