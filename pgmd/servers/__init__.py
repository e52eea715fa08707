"""What an endpoint can do, and what is done about what it lacks."""
