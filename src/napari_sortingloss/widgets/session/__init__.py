"""What the stages share: the open study, its jobs, what was chosen."""
