"""An application that was there before Backstay: FastAPI and SQLAlchemy, integer keys, Alembic, a log-in of its own.

Nothing in here knows of Backstay. Only the address of its database says which driver it uses.
"""
