"""The run as a page, a diagnosis to send."""
