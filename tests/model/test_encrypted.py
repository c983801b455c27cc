"""What an encrypted field cannot be or be used for is a mistake at start that names it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import pytest
from annotated_types import Len

from backstay import (
    App,
    Encrypted,
    Index,
    Many,
    Model,
    Rules,
    SealedAs,
    Secret,
    Slug,
    User,
    anyone,
    computed,
    field,
    index,
    is_null,
    made_from,
    one_of,
    searchable,
    unique,
)
from backstay.errors import DeclarationError
from backstay.model.schema import declare


class Customer(Model):
    iban: Encrypted[Annotated[str, Len(15, 34)]]
    note: Encrypted[str] | None = None
    pin: Encrypted[Secret] | None = None
    account: Annotated[Encrypted[str | None], SealedAs("Customer.konto")] = None


def test_it_is_declared_around_or_inside() -> None:
    entity = declare([Customer]).entities["Customer"]
    assert entity.sealed == ("iban", "note", "pin", "account")
    iban, note, pin, account = (entity.fields[name] for name in entity.sealed)
    assert (iban.kind.name, iban.kind.min_length, iban.kind.max_length, iban.nullable) == ("text", 15, 34, False)
    assert note.nullable
    assert account.nullable
    assert pin.write_only
    assert [f.label for f in (iban, note, pin, account)] == [
        "Customer.iban", "Customer.note", "Customer.pin", "Customer.konto",
    ]  # fmt: skip
    assert not any(part.kind.ordered or part.kind.textual or part.folded for part in (iban, note, pin, account))
    assert entity.fields["created_at"].label == ""


def test_encrypting_changes_the_fingerprint() -> None:
    def made(annotation: Any) -> str:
        model = type("Customer", (Model,), {"__annotations__": {"iban": annotation}})
        return declare([model]).fingerprint

    assert made(str) != made(Encrypted[str])


class Base(Model):
    secret: Encrypted[str]
    amount: Encrypted[int]
    born: Encrypted[datetime]
    kind: str


def rules(**said: Callable[[Any, Any], Any]) -> type[Model]:
    def method(self: Any, me: Any) -> Rules:
        return Rules(**{action: make(self, me) for action, make in said.items()})

    return type("Thing", (Base,), {"rules": method, "__annotations__": {}})


def indexed(make: Callable[[Any], Index]) -> type[Model]:
    return type("Thing", (Base,), {"indexes": lambda self: [make(self)], "__annotations__": {}})


def computing(make: Callable[[Any], Any]) -> type[Model]:
    return type("Thing", (Base,), {"sum": computed(make), "__annotations__": {}})


def with_fields(**annotations: Any) -> type[Model]:
    values = {name: value for name, (_, *more) in annotations.items() for value in more}
    return type("Thing", (Base,), {"__annotations__": {n: hint for n, (hint, *_) in annotations.items()}, **values})


MISTAKES: dict[str, tuple[type[Model], str, str]] = {
    "a rule": (rules(read=lambda s, me: s.secret == "x"), "Thing.rules.read", '"secret" is encrypted'),
    "a negated rule": (rules(read=lambda s, me: ~(s.secret == "x")), "Thing.rules.read", '"secret" is encrypted'),
    "a part of a rule": (
        rules(update=lambda s, me: (s.kind == "x") & one_of(s.secret, "a")),
        "Thing.rules.update",
        '"secret" is encrypted',
    ),
    "null in a rule": (rules(delete=lambda s, me: is_null(s.secret)), "Thing.rules.delete", '"secret" is encrypted'),
    "a part of a date": (rules(read=lambda s, me: s.born > s.created_at), "Thing.rules.read", '"born" is encrypted'),
    "on the right": (rules(read=lambda s, me: s.kind == s.secret), "Thing.rules.read", '"secret" is encrypted'),
    "a computed field": (computing(lambda s: s.amount + 1), "Thing.sum", '"amount" is encrypted'),
    "a computed copy": (computing(lambda s: s.secret), "Thing.sum", '"secret" is encrypted'),
    "an index": (indexed(lambda s: index(s.kind, s.secret)), "Thing.indexes", "cannot be indexed"),
    "uniqueness": (indexed(lambda s: unique(s.secret)), "Thing.indexes", "cannot be unique"),
    "search": (indexed(lambda s: searchable(s.kind, s.secret)), "Thing.indexes", "cannot be searched"),
    "a slug": (with_fields(slug=(Slug, made_from("secret"))), "Thing.slug", "which is encrypted"),
    "an entry of a list": (with_fields(words=(list[Encrypted[str]],)), "Thing.words", "as a whole"),
    "a relation": (with_fields(other=(Encrypted[User],)), "Thing.other", "a relation cannot be encrypted"),
    "the id": (with_fields(id=(Encrypted[str],)), "Thing.id", "Backstay looks for it"),
    "an instant of Backstay": (with_fields(updated_at=(Encrypted[datetime],)), "Thing.updated_at", "looks for it"),
    "a name of another": (
        with_fields(other=(Annotated[Encrypted[str], SealedAs("Thing.secret")],)),
        "Thing.other",
        "sealed as Thing.secret, and so is Thing.secret",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_use_that_cannot_be_is_a_mistake(case: str) -> None:
    model, place, said = MISTAKES[case]
    with pytest.raises(DeclarationError) as caught:
        App("mistaken", models=[model])
    assert [(m.place, said in m.message) for m in caught.value.mistakes] == [(place, True)], caught.value
    assert caught.value.mistakes[0].hint


def test_a_field_of_the_account_stays_readable() -> None:
    class Member(User):
        email: Encrypted[str]

    with pytest.raises(DeclarationError, match=r"Member\.email: Backstay looks for it"):
        App("mistaken", models=[Member])


class Parent(Model):
    children: Many[Child]

    def rules(self, me: User) -> Rules:
        return Rules(read=self.children.some(lambda child: child.secret == "x"))


class Child(Model):
    parent: Parent
    secret: Encrypted[str]

    @computed
    def eldest(self) -> Any:
        return self.parent.children.max(lambda child: child.secret)


class Grandchild(Model):
    """Its field rules may use what others may read, and not what is encrypted in a record beside it."""

    child: Child
    name: str

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone, fields=[field(self.name, read=self.child.secret == "x")])


def test_there_is_no_way_around_through_relations() -> None:
    with pytest.raises(DeclarationError) as caught:
        App("mistaken", models=[Parent, Child, Grandchild])
    places = [m.place for m in caught.value.mistakes if '"secret" is encrypted' in m.message]
    assert sorted(set(places)) == ["Child.eldest", "Grandchild.name (read)", "Parent.rules.read"]
