"""An address belongs to one account, whatever indexes a user class of one's own declares."""

from __future__ import annotations

from backstay.model.declare import User
from backstay.model.field import Index
from backstay.model.rule import unique
from backstay.model.schema import declare


class Member(User):
    """Declares an index of its own and forgets the one it replaces."""

    nickname: str

    def indexes(self) -> list[Index]:
        return [unique(self.nickname)]


def test_a_user_class_with_indexes_of_its_own_keeps_addresses_unique() -> None:
    entity = declare([Member]).user
    assert entity.indexes == (Index(("nickname",), "unique"), Index(("email",), "unique"))
    assert entity.fields["email"].unique


def test_the_index_is_there_once() -> None:
    assert declare([]).user.indexes == (Index(("email",), "unique"),)
