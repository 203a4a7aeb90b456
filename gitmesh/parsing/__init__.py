"""From bytes to policies: YAML with positions, models, schemas, the configuration. Pure."""
