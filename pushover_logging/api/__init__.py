"""The service: one client, its connection, its encryption and its quota."""
