"""Workloads as older versions saved them: one average of all pods of a controller.

They listed the labels that all pods share with the keys of the others, and left labels that change with
rollouts out without a word. So of none of these is a value known: whoever selects by one is told so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import asdict, replace

from gitmesh.model.workloads import ROLLING_LABELS, Workload


class AveragedWorkload(Workload, frozen=True, kw_only=True):
    """All pods of one controller. `labels` are those that all share, `differing` the keys of others; `ports`
    are as most of them have them, `further` the numbers that names have on others; `bare` of the pods carry
    no proxy although others do."""

    differing: tuple[str, ...] = ()
    further: Mapping[str, tuple[int, ...]] = {}
    bare: int = 0


def as_shapes(averaged: AveragedWorkload) -> Iterator[Workload]:
    """The shapes of which the average speaks."""
    fields: dict[str, Any] = {name: value for name, value in asdict(averaged).items() if name not in _ITS_OWN}
    shape = replace(Workload(**fields), dropped=tuple(sorted(ROLLING_LABELS.union(averaged.differing))))
    # The average does not say how many pods have which number: of each number that it names there is at least
    # one pod.
    others = [
        replace(shape, ports={**averaged.ports, name: number}, pods=1)
        for name, numbers in sorted(averaged.further.items())
        for number in numbers
    ]
    # At least one where there are any: a controller with pods must not read as one without.
    yield replace(shape, pods=max(averaged.pods - averaged.bare - len(others), min(averaged.pods, 1)))
    yield from others
    if averaged.bare:
        yield replace(
            shape,
            mesh="",
            gateway=False,
            router=False,
            native_sidecar=False,
            unguarded=(),
            pods=averaged.bare,
        )


_ITS_OWN = frozenset(AveragedWorkload.__struct_fields__) - frozenset(Workload.__struct_fields__)
