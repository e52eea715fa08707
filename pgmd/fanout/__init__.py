"""What a fan-out decides: how many, how large, what is told meanwhile."""
