"""The command line. Wires adapters, calls `pipeline.run`, shows the report; decides nothing itself."""
