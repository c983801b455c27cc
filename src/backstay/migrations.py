"""What migration files import: the database, as a data function is handed it."""

from backstay.store.migrate import Data as Data

__all__ = ["Data"]
