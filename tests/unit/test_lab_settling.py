"""When the lab takes a mesh for settled: what istiod says of its proxies."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.lab.process import LabError
from tests.lab.settling import Settling

TAKEN = {"sent": "1", "acked": "1"}


@pytest.mark.parametrize(
    "proxy",
    [
        {"proxy": "a"},
        {"proxy": "a", "resources": {}},
        {"proxy": "a", "resources": {"lds": TAKEN, "cds": {"sent": "2", "acked": "1"}}},
        {"proxy": "a", "resources": {"lds": TAKEN, "cds": {"sent": "1"}}},
    ],
)
def test_a_proxy_that_was_sent_nothing_or_has_not_taken_it_is_waited_for(proxy: dict[str, Any]) -> None:
    """A proxy that has just connected to a fresh istiod is listed without resources."""
    istiod = SimpleNamespace(check=lambda: None, metrics=dict, debounced=list, debug=lambda _: [proxy])
    settling = Settling(
        cast(Any, SimpleNamespace(name="east")),
        cast(Any, istiod),
        [cast(Any, SimpleNamespace(name="a", proxy="sidecar"))],
    )
    with pytest.raises(LabError, match="not acknowledged or not in effect by a"):
        settling.wait(0)


def test_a_proxy_that_does_not_answer_is_waited_for_by_its_name() -> None:
    """It hangs before istiod could send it anything: all that it was sent is acknowledged."""
    settled = {"proxy": "a", "resources": {"lds": TAKEN}}
    istiod = SimpleNamespace(check=lambda: None, metrics=dict, debounced=list, debug=lambda _: [settled])
    silent = SimpleNamespace(
        name="a", proxy="sidecar", send=lambda _: [SimpleNamespace(status=0, error="timeout")]
    )
    settling = Settling(cast(Any, SimpleNamespace(name="east")), cast(Any, istiod), [cast(Any, silent)])
    with pytest.raises(LabError, match=r"not acknowledged or not in effect by a \(timeout\)"):
        settling.wait(0)
