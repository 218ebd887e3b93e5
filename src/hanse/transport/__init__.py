"""Bytes between parties: HTTPS server and client."""
