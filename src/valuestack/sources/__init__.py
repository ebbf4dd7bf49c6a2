"""Outside formats in: one file a format; tables and plain mappings out."""
