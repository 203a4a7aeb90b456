"""Kubernetes clusters. Import the modules only where a configuration names such a cluster: aiohttp takes a while to load."""
