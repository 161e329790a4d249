"""What this computer can do, and what a run will need of it."""
