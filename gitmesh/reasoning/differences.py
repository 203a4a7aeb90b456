"""stub"""

from __future__ import annotations

from gitmesh.model.comparison import AccessChange
from gitmesh.reasoning.questions import Known


def access_changes(before: Known, after: Known) -> tuple[AccessChange, ...]:
    """stub"""
    return ()
