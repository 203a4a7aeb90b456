"""Errors that can be decided from one revision alone, across its policies; any of them refuses the revision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.policies import Policy


def check(policies: Sequence[Policy], clusters: Mapping[str, Mapping[str, str]]) -> tuple[Diagnostic, ...]:
    """Static findings over all policies. `clusters` maps every configured cluster to its labels."""
    return ()
