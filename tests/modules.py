"""Through how many modules one field runs between YAML and its mesh's object: `python -m tests.modules
TrafficPolicy.timeout`. What a reader must open to follow it.

Two policies are rendered that differ in nothing but the field, and each line of the product that runs is
counted. A module *handles* the field where a line of it runs oftener, or less often, because the field is
there: whoever reads, checks, decides, translates or writes the value does, and so does generic code that goes
over the fields one by one. A module *leads* to it where it does not handle the field itself, but calls,
however far, what does: it is open on the reader's desk. Every other module does the same for each policy,
whatever fields it has: it finds the Services that are selected, tells who is who, reads what strangers wrote,
or carries the value unopened in a unit or an object. To count it as a stop of this field, as the first
version of this counter did, says how many modules render a policy at all; that figure is printed beside the
others.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, TypeAlias

from msgspec import Struct

from tests.contract.samples import SAMPLES
from tests.contract.test_translators import facts_of, policy
from tests.rendered import rendered

READING = ("gitmesh.adapters",)
"""How text comes to the parser is no part of the field's way."""

Line: TypeAlias = tuple[str, int]
"""(module, number of a line)."""
OnLine: TypeAlias = Callable[[Line, FrameType], None]


class Course(Struct, frozen=True, kw_only=True):
    """Where one field goes: the modules that handle it, those that lead to them, and all others that run
    for a policy with it. Each sorted, no module in two.
    """

    handling: tuple[str, ...]
    leading: tuple[str, ...]
    others: tuple[str, ...]


def course_of(feature: str, translator: str = "istio") -> Course:
    """Where the field goes while a policy with it is rendered. Raises KeyError for a feature without a sample
    (`tests.contract.samples`).
    """
    kind, using, without = SAMPLES[feature]
    run = _Runs(kind, translator)
    counts, lacking = run.lines({**without, **using}), run.lines(without)
    because = {line for line in counts | lacking if counts[line] != lacking[line]}
    handling = {module for module, _ in because}
    open_on_the_desk: set[str] = set()

    def met(line: Line, frame: FrameType) -> None:
        if line in because:
            open_on_the_desk.update(_callers(frame))

    run.lines({**without, **using}, met)
    entered = {module for module, _ in counts}
    return Course(
        handling=tuple(sorted(handling)),
        leading=tuple(sorted(open_on_the_desk - handling)),
        others=tuple(sorted(entered - handling - open_on_the_desk)),
    )


class _Runs:
    """Policies of one kind, rendered while somebody counts."""

    def __init__(self, kind: str, translator: str) -> None:
        self.kind, self.facts = kind, facts_of(translator)

    def lines(self, spec: Mapping[str, Any], met: OnLine | None = None) -> Counter[Line]:
        """How often each line of the product runs; `met` is called for each."""
        texts = {"p.yaml": policy(self.kind, spec)}
        rendered(texts, self.facts)  # what is done once for all policies is no part of it
        counts: Counter[Line] = Counter()

        def counted(frame: FrameType, event: str, _argument: object) -> Any:
            if event == "line":
                line = _module(frame), frame.f_lineno
                counts[line] += 1
                if met is not None:
                    met(line, frame)
            return counted

        before = sys.gettrace()
        sys.settrace(lambda frame, event, argument: counted if _is_ours(frame) else None)
        try:
            rendered(texts, self.facts)
        finally:
            sys.settrace(before)
        return counts


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_ours(frame: FrameType) -> bool:
    return _module(frame).startswith("gitmesh") and not _module(frame).startswith(READING)


def _callers(frame: FrameType) -> set[str]:
    """The product's modules on the stack."""
    found: set[str] = set()
    caller: FrameType | None = frame
    while caller is not None:
        found |= {_module(caller)} if _is_ours(caller) else set()
        caller = caller.f_back
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the modules and how many they are; 3 for a field that is not known."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.modules", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("feature", nargs="?", default="TrafficPolicy.timeout")
    feature = parser.parse_args(arguments).feature
    if feature not in SAMPLES:
        sys.stderr.write(f"there is no sample of {feature}; some are {', '.join(sorted(SAMPLES)[:5])}\n")
        return 3
    found = course_of(feature)
    groups = {"handles it": found.handling, "leads to it": found.leading, "runs": found.others}
    lines = [f"{role:12}{name}" for role, names in groups.items() for name in names]
    handling, way = len(found.handling), len(found.handling) + len(found.leading)
    figures = (
        f"{feature} is handled in {handling} modules; with those that lead to them it is {way}, and"
        f" {way + len(found.others)} run for a policy with it"
    )
    sys.stdout.write("\n".join([*lines, figures, ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
