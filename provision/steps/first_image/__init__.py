"""The step `first_image`."""
