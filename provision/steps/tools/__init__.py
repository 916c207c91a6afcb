"""The step `tools`."""
