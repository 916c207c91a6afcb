"""`provision uninstall`."""
