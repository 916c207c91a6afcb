"""The step `server`."""
