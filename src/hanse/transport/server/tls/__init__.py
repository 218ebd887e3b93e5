"""TLS connections that can be lent to a thread."""
