"""Writing volumes, and what lies on them: reference labels, frames, temporary files."""
