"""One problem, one push: the rules (machine) and where their state lives (local, sqlite, redis)."""
