"""TPM 2.0: quotes, the registers and logs that they stand for, and activation of keys."""
