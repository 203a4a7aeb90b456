"""How long the soundness tests search. GITMESH_SOUNDNESS=N multiplies their examples, and then seeds differ
from run to run.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("GITMESH_SOUNDNESS", "1"))


def searching(examples: int) -> settings:
    """Deterministic by default: the same examples in every run."""
    return settings(
        max_examples=examples * FACTOR,
        deadline=None,
        derandomize=FACTOR == 1,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
