"""The *Study* stage: choose, add and look at volumes."""
