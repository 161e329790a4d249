"""Which slice to paint next, and why."""
