"""The command line: what was typed, the session of a command, what it says."""
