"""Receipts at the site: checked, kept, and compared with those that came before."""
