"""Many Macs at once: over SSH, by pyinfra. Only the program `driver` loads it, in a process of its own."""
