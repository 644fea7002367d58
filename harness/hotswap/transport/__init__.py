"""Byte streams to the agent in the guest, and the client that speaks over them."""
