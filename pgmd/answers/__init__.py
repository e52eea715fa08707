"""What a side's answer becomes for the caller."""
