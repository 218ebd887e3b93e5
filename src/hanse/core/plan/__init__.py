"""The plan: its sections, its manifest, the declared disclosure and the policy that judges it."""
