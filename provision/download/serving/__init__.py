"""Serving a bundle, or what of a home is the same everywhere, to other Macs over HTTP."""
