"""The Pushover API: client, transport, end-to-end encryption and quota."""
