"""Requirements of attestation and of sealed runs: files in memory, no dumps, a clean start."""
