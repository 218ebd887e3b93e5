"""The other sites of a cell: whose signing keys people of this site have checked, and what follows."""
