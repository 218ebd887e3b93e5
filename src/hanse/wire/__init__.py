"""Values to bytes and back: pure, no sockets."""
