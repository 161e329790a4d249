"""From a handful of annotated slices to a segmented volume: fine-tuning, prediction, suggestion, scores."""
