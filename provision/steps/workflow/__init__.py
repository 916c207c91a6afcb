"""The step `workflow`."""
