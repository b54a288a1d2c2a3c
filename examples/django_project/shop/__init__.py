"""A shop whose checkout fails."""
