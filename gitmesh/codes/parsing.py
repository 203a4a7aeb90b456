"""Findings of parsing: files, YAML and what a commit holds."""

from __future__ import annotations

from gitmesh.codes.code import Code

PARSING: tuple[Code, ...] = (
    Code(
        code="GM101",
        name="YamlSyntax",
        severity="error",
        summary="The file is not well-formed YAML.",
        cause="The YAML scanner stopped at this place.",
        fix="Mend the syntax at the caret; wildcards such as *.example.com need quotes.",
    ),
    Code(
        code="GM102",
        name="YamlForbidden",
        severity="error",
        summary="A YAML feature that policies may not use.",
        cause=(
            "Anchors, aliases, merge keys, tags and directives hide what a reviewer must see, and can be made"
            " to exhaust memory."
        ),
        fix="Write the value out in full.",
    ),
    Code(
        code="GM103",
        name="YamlLimit",
        severity="error",
        summary="A file, document or revision is larger or deeper than the limits.",
        cause=(
            "At most 64 levels, 100 documents and 256 KiB in a file, 20,000 files and 64 MiB in a revision;"
            " expressions by what they cost."
        ),
        fix="Split the file.",
    ),
    Code(
        code="GM104",
        name="DuplicateKey",
        severity="error",
        summary="A mapping has the same key twice.",
        cause="YAML parsers silently keep the last one; reviewers read the first.",
        fix="Remove one of the two.",
    ),
    Code(
        code="GM105",
        name="AmbiguousScalar",
        severity="error",
        summary="A plain scalar that YAML parsers read differently.",
        cause=(
            "Values such as no, on, 010, 12:30, 2024-01-01, .nan or 1_000 are booleans, numbers or dates to"
            " some parsers and strings to others."
        ),
        fix="Put the value in quotes, or write the number in plain decimal.",
        hint="quote it",
    ),
    Code(
        code="GM106",
        name="BadKey",
        severity="error",
        summary="A mapping key that is not a string.",
        cause="Keys that are numbers, booleans or null collapse with their string twins.",
        fix="Quote the key.",
        hint="quote the key",
    ),
    Code(
        code="GM107",
        name="BadCharacter",
        severity="error",
        summary="A character that hides content from a reviewer, or bytes that are not UTF-8.",
        cause=(
            "Control characters, line separators U+0085, U+2028 and U+2029, direction overrides and"
            " zero-width characters are refused."
        ),
        fix="Remove the character.",
    ),
    Code(
        code="GM108",
        name="NotAFile",
        severity="error",
        summary="The policy path holds something that is not a plain file.",
        cause="Symbolic links, submodules and names that escape the folder are never followed.",
        fix="Replace it by a plain file.",
    ),
    Code(
        code="GM109",
        name="NameClash",
        severity="error",
        summary="Two paths differ only by case or by Unicode form.",
        cause="On many file systems they are one file.",
        fix="Rename one of them.",
    ),
    Code(
        code="GM110",
        name="EmptySource",
        severity="error",
        summary="A path of a source is not there, or holds no policy.",
        cause=(
            "A renamed or missing folder, or a typing error in `paths`, must not read as an order to delete"
            " what came from it."
        ),
        fix=(
            "Put the folder back, or take it out of `paths`. Where its policies are to go, approve that"
            " commit (`gitmesh sync --approve-prune SHA`, `prune.approved`) or the finding (`gitmesh approve"
            " ID`)."
        ),
    ),
    Code(
        code="GM111",
        name="NotInGit",
        severity="info",
        summary="The folder under review is not what a commit of it would be.",
        cause=(
            "Files that were never added to Git are read; files that a sparse checkout leaves out are not (a"
            " warning)."
        ),
        fix=(
            "Add them with git, or ignore the finding while you edit; check out the whole of the policy"
            " folders."
        ),
    ),
)
