"""The Pushover API: client, transport, end-to-end encryption and quota.

The package root re-exports what users need, so this file only marks the folder as a package.
"""
