"""What each run predicts for a volume."""
