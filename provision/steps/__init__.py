"""What `all` does, one module a step; `registry` holds them in order."""
