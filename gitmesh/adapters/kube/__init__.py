"""Kubernetes clusters. Import the modules only where a configuration names such a cluster: asyncio and TLS take a while to load."""
