"""The long-running entry point: a loop around `pipeline.run`, with health, metrics, logs and events beside
it.
"""
