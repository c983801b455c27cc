"""What could not be compiled for any actor is refused at start, all of it at once."""

import pytest

from backstay import App
from backstay.errors import DeclarationError
from backstay.model.declare import Model, User
from backstay.model.rule import Rules, anyone, field_rule


class Parcel(Model):
    weight: int
    label: str

    def rules(self, me: User) -> Rules:
        return Rules(
            read=(self.weight == "heavy") | me.has_role("staff"),  # type: ignore[comparison-overlap]
            create=anyone,
            delete=me.has_role("staff") & (self.label > self.weight),  # type: ignore[operator]
            fields=[field_rule(self.label, read=self.weight > "x")],  # type: ignore[operator]
        )


def test_rules_are_planned_at_start() -> None:
    with pytest.raises(DeclarationError) as caught:
        App("parcels", models=[Parcel])
    assert [mistake.place for mistake in caught.value.mistakes] == [
        "Parcel.rules.read",
        "Parcel.rules.delete",
        "Parcel.label (read)",
    ]
