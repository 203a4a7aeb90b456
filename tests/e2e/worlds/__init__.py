"""Worlds of tests/worlds on real data planes: brought up in the lab, judged by real requests."""
