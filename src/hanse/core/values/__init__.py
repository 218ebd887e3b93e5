"""Values of the field: parameters, digests, identities, sites, statements, and their wording."""
