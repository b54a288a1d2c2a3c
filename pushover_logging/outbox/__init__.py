"""Where Messages wait for the sender: put, claim, retry, finish."""
