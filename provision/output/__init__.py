"""Everything that is shown: for people live and plain, for programs as JSON."""
