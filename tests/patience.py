"""How long a test waits where the product must not: a limit that a busy machine keeps, and a wait without end
does not.
"""

GIVEN_UP = 240.0
"""Seconds. What has a deadline of its own, which tests set to a few seconds at most, is over by then, however
busy the machine; what has none is not.
"""
