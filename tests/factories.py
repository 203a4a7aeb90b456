"""Values that many tests need."""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.adapters.folder import blob_id
from gitmesh.model.policies import Policy
from gitmesh.model.snapshot import File, Snapshot
from gitmesh.parse import parse


def snapshot_of(files: Mapping[str, str | bytes], source: str = "policies", commit: str = "") -> Snapshot:
    """A revision with these files."""
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    made = (File(path=path, blob=blob_id(content), content=content) for path, content in sorted(contents.items()))
    return Snapshot(source=source, commit=commit, files=tuple(made))


def policies_of(*texts: str, source: str = "policies") -> tuple[Policy, ...]:
    """The policies of these texts, a file each; a finding fails the test."""
    policies, findings = parse(snapshot_of({f"p{index}.yaml": text for index, text in enumerate(texts)}, source))
    assert not findings, findings
    return policies
