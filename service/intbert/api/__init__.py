"""HTTP: routes, wire types and the one table from errors to statuses. The only place with FastAPI."""
