"""One file, one restoration method: to add one, write a file here."""
