"""The entries of a commit, from `git ls-tree` alone, before any is read; `gitmesh.adapters.revision` decides
about them.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitmesh.adapters.git.objects import Objects
from gitmesh.adapters.git.process import Limits
from gitmesh.adapters.revision import Listing, TreeEntry, held, too_many
from gitmesh.parsing.parse import MAX_FILES

_MAX_LISTING = MAX_FILES * 512


def list_policies(repository: Objects, commit: str, paths: Sequence[str], source: str) -> Listing:
    """List the policy files below `paths` ("" = everywhere). Raises GitError if the store cannot be read."""
    limits = Limits(seconds=repository.timeout, stdout=_MAX_LISTING, entries=MAX_FILES)
    below = [] if "" in paths else list(paths)
    arguments = [
        # A folder may be called `*` or begin with `:`, which git would else read as a pattern.
        "--literal-pathspecs",
        "ls-tree",
        "-r",
        "-z",
        "-l",
        "--full-tree",
        "--end-of-options",
        commit,
        *below,
    ]
    done = repository.local_done(arguments, limits=limits)
    return too_many(paths, source) if done.cut else held(_entries(done.out), paths, source)


def _entries(output: bytes) -> list[TreeEntry]:
    """Read the output of `git ls-tree -r -z -l`."""
    entries = []
    for line in output.split(b"\0"):
        head, separator, path = line.partition(b"\t")
        if separator:
            mode, _, blob, size = head.decode("ascii").split()
            entries.append(TreeEntry(mode, blob, int(size) if size != "-" else 0, path))
    return entries
