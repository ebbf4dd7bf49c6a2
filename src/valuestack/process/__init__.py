"""The seven steps."""
