"""Verification of AMD SEV-SNP attestation reports."""
