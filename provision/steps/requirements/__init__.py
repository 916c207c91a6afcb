"""The step `requirements`."""
