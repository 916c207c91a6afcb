"""The step `python_env`."""
