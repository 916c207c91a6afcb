"""The step `hardware`."""
