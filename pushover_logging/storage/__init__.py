"""Files that the processes of a host share: an SQLite file, and locks beside it."""
