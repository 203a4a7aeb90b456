"""The frozen values that walk through the pipeline, a file per subject."""
