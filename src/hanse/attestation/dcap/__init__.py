"""Intel DCAP: quotes of SGX and TDX, the certificates that they come with, and Intel's collateral."""
