"""What the laws of tests/worlds are there to find: each mending undone, one at a time (README there)."""
