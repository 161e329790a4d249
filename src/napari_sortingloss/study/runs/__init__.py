"""Runs: what they are given, what they leave, how they are watched and steered from any process."""
