"""Evaluators that share nothing with the product: what docs/concepts.md says of a request, and what Istio
does with the objects.
"""
