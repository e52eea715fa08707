"""Where a statement runs and why: plain functions over facts."""
