"""Where each run finds the specimen of a volume."""
