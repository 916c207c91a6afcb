"""The step `torch`."""
