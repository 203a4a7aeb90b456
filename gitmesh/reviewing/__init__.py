"""Two revisions of the policies beside each other: what changes in each cluster, and what that means.
Pure.
"""
