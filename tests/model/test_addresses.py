"""Two things cannot stand at one address."""

import pytest

from backstay.errors import DeclarationError
from backstay.model.declare import Model
from backstay.model.schema import declare


class Load(Model):
    __plural__ = "batch"


class Ox(Model):
    __plural__ = "oxen"


class Oxen(Model):
    __plural__ = "oxen"


def test_an_address_is_taken_once() -> None:
    with pytest.raises(DeclarationError, match="/api/batch is an address"):
        declare([Load])
    with pytest.raises(DeclarationError, match="is Ox's already"):
        declare([Ox, Oxen])
