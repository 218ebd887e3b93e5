"""The table of requests: paths, roles, messages, dispatch, and its OpenAPI description."""
