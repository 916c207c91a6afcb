"""The built-in backend: parallel ranges over HTTP."""
