"""Writing a bundle (see `core/bundle.py`)."""
