"""From units to objects, plans and ledgers: which revision, what to write, in which order. Pure but for the
ports.
"""
