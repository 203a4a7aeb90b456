"""GitMesh: one set of mesh policies in Git, many clusters held to it."""

__version__ = "0.1.0"
