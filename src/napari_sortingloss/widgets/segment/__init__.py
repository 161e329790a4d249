"""The *Segment* stage: train on painted slices, predict, correct, compare, export."""
