"""Kubernetes clusters. Import the modules only where a configuration names such a cluster: HTTP and TLS take
a while to load.
"""
