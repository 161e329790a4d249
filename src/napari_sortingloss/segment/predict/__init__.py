"""Labels for whole volumes, streamed and resumed, along one axis or three."""
