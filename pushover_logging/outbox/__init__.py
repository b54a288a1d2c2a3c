"""Where Messages wait for the sender: put, claim, ack, retry, reject."""
