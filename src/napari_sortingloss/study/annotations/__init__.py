"""What people paint: labels, the status of slices, and a history that is never lost."""
