"""Through how many modules one field runs between YAML and its mesh's object: `python -m tests.modules
TrafficPolicy.timeout`. What a reader must open to follow it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import FrameType

from tests.contract.samples import SAMPLES
from tests.contract.test_translators import facts_of, policy
from tests.rendered import rendered

READING = ("gitmesh.adapters",)
"""How text comes to the parser is no part of the field's way."""


def modules_of(feature: str, translator: str = "istio") -> list[str]:
    """The modules of the product that run when a policy with the field is rendered, sorted. Raises KeyError
    for a feature without a sample (`tests.contract.samples`).
    """
    kind, spec, _ = SAMPLES[feature]
    texts, facts = {"p.yaml": policy(kind, spec)}, facts_of(translator)
    rendered(texts, facts)  # what is done once for all policies is no part of it
    seen: set[str] = set()

    def entered(frame: FrameType, event: str, _argument: object) -> None:
        name = str(frame.f_globals.get("__name__", ""))
        if event == "call" and name.startswith("gitmesh") and not name.startswith(READING):
            seen.add(name)

    sys.setprofile(entered)
    try:
        rendered(texts, facts)
    finally:
        sys.setprofile(None)
    return sorted(seen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the modules and how many they are; 3 for a field that is not known."""
    parser = argparse.ArgumentParser(prog="python -m tests.modules", description=__doc__)
    parser.add_argument("feature", nargs="?", default="TrafficPolicy.timeout")
    feature = parser.parse_args(arguments).feature
    if feature not in SAMPLES:
        sys.stderr.write(f"there is no sample of {feature}; some are {', '.join(sorted(SAMPLES)[:5])}\n")
        return 3
    found = modules_of(feature)
    sys.stdout.write("\n".join([*found, f"{feature} runs through {len(found)} modules", ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
