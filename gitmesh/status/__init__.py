"""The status branch as files and words. Pure."""
