"""This computer, and Macs that are not here: processes, files, facts."""
