"""Findings on sources, write-back and the configuration."""

from __future__ import annotations

from gitmesh.codes.code import Code

SOURCES: tuple[Code, ...] = (
    Code(
        code="GM601",
        name="SourceUnavailable",
        severity="error",
        summary="The repository could not be read.",
        cause="Network, credentials, or the branch is gone. The last good revision stays in force.",
        fix="Check url, branch and credentials of the source, or the path of its folder.",
    ),
    Code(
        code="GM602",
        name="NotDescendant",
        severity="error",
        summary="The branch was moved to a commit that does not descend from the accepted one.",
        cause="Force-push or rewind. The accepted revision stays in force.",
        fix="Push a commit on top of the accepted one, or set allowRewind for the source.",
    ),
    Code(
        code="GM603",
        name="WriteBackDenied",
        severity="warning",
        summary="The status branch could not be pushed.",
        cause=(
            "No push rights, the branch is protected, or GitMesh did not make it. The clusters are kept all"
            " the same."
        ),
        fix="Grant push on the status branch, or choose another name for it.",
    ),
    Code(
        code="GM604",
        name="WriteBackContended",
        severity="warning",
        summary="The status branch moved while it was written.",
        cause="Somebody else pushed to it. The push is tried again on the new tip.",
        fix="Let only GitMesh write to the status branch.",
    ),
    Code(
        code="GM605",
        name="RevisionRefused",
        severity="error",
        summary="The revision is refused; the last good one stays in force.",
        cause=(
            "It has static errors. A plain folder has no older revision: then live objects stay as they are."
        ),
        fix="Mend the findings and push again.",
    ),
    Code(
        code="GM606",
        name="LastGoodLost",
        severity="error",
        summary="The last good revision can no longer be read, is not borne out, or is good no more.",
        cause=(
            "The repository no longer leads to the commit: its history was rewritten. Or a ledger names a"
            " commit that nobody merged. Or today's checks refuse what was accepted then. Live objects stay"
            " as they are."
        ),
        fix=(
            "Push the old commit again; or, after a look at the rewritten history, set allowRewind for the"
            " source once."
        ),
    ),
    Code(
        code="GM607",
        name="BadConfig",
        severity="error",
        summary="gitmesh.yaml is not valid.",
        cause="See the message.",
        fix="See docs/configuration.md.",
    ),
    Code(
        code="GM608",
        name="UntrustedConfig",
        severity="error",
        summary="The configuration was found, not named, and may not use this.",
        cause=(
            "A gitmesh.yaml that came with a branch under review runs no program, uses no credential and no"
            " network until you agree."
        ),
        fix="Read it; then name it with --config, or record it with `gitmesh trust`.",
    ),
    Code(
        code="GM609",
        name="PartKept",
        severity="warning",
        summary=(
            "A source is not in force, or not all of it, and what it may have said of live objects is kept."
        ),
        cause=(
            "What cannot be read is not nothing. What other sources withdraw or deny goes its way. An error"
            " where somebody changed what is kept and decides who may call: nobody else knows how it was."
        ),
        fix=(
            "See the finding that keeps the source from being read. Or remove it from the configuration: then"
            " it is gone on purpose."
        ),
    ),
)
