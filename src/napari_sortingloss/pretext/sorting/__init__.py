"""SortingLoss: put shuffled slices of a volume back into order."""
