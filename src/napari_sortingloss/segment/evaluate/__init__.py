"""Scores against annotated slices and reference labels."""
