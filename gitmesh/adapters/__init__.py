"""Everything that touches the world: git, Kubernetes, folders, memory."""
