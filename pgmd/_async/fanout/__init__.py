"""Many statements at a time."""
