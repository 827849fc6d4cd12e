"""A module that the driver imports from --py-files."""

WORDS = "hello from a py-file"
