"""The *Pre-train* stage: train on unlabelled slices, watch, order."""
