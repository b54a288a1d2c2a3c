"""The books of one handler: what was admitted, what waits, what became of it."""
