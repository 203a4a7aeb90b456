"""Git repositories through the git command: sources of policies, and the branch that status is written to."""

from gitmesh.adapters.git.source import GitSource

__all__ = ["GitSource"]
