"""The step `lock`."""
