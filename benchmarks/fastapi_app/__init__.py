"""The shop in FastAPI and SQLAlchemy, written the way both projects' documentation teaches."""
