"""The step `models`."""
