"""The HTTPS client of sites and operators."""
