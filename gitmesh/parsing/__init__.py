"""From bytes to policies: YAML with positions, models, schemas, the configuration. Pure.

`parse` has a revision read in this order: `reading` (bytes of a file, by `characters`), `nodes` (events, by
`scalars`), `weighing` (what expressions cost), `faults` (what the models say of a document).
"""
