"""One contract, for every side."""
