"""Verification of attestation reports of NVIDIA GPUs."""
