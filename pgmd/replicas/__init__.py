"""A replica: how it is opened, what runs on it, what it shows."""
