"""What belongs to the process, whoever uses it. Imports nothing of pgmd."""
