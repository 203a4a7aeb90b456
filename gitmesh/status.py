"""SIGNATURES ONLY, body follows: the status branch as a tree of files, and its commit message."""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.model.report import Report


class Memo: ...


def status_tree(report: Report, memo: Memo | None = None) -> Mapping[str, bytes]: ...


def message(report: Report, heals: tuple[str, ...] = ()) -> str: ...
