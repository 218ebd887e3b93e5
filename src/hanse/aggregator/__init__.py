"""The service that coordinates and combines, and its run worker."""
