"""The embedded world: a hub, a git repository, an engine and a package index on loopback."""
