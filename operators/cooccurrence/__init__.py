"""Which videos are watched by the same people."""
