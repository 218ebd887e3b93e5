"""Appraisal policies: TOML files, one section a kind, every field required or `any` with a reason."""
