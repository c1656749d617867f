"""What is taken to most, now, by scope."""
