"""Which problem a record is of: fingerprints, masks, tracebacks."""
