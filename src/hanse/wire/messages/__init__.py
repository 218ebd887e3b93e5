"""Messages of the protocol, one strict schema each."""
