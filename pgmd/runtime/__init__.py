"""How to wait: `aio` and `threads` export the same names, one for each colour."""
