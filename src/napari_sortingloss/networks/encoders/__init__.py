"""The encoders that are pre-trained."""
