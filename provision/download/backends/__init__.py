"""What moves the bytes of a file, one file a backend."""
