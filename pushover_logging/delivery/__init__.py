"""From an admitted record to an answer of the service: one pipeline a handler and process."""
