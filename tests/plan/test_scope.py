"""The language of scopes: what each word allows, which words there are, and how several become one set."""

from __future__ import annotations

import pytest

from backstay.errors import Denied, NotSignedIn
from backstay.model.declare import Model, User
from backstay.model.predicate import ANYONE, HasRole, SignedIn
from backstay.model.schema import declare
from backstay.model.value import Unfit
from backstay.plan.actor import ANONYMOUS, Actor
from backstay.plan.scope import GRANTS, canonical, parse_scope, permit_call, permitted, unscoped


class Order(Model):
    """Something."""

    code: str


class Act(Model):
    """A model whose name in addresses is a word of the language."""

    __plural__ = "action"

    code: str


SCHEMA = declare([Order, Act])
ORDER, ACT = SCHEMA.entities["Order"], SCHEMA.entities["Act"]
ACTIONS = ("read", "create", "update", "delete")


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("read", "read"), ("create", "create"), ("update", "read update"), ("delete", "read delete"),
        ("write", "read create update delete"), ("orders:read", "read"), ("orders:create", "create"),
        ("orders:update", "read update"), ("orders:delete", "read delete"),
        ("orders:write", "read create update delete"), ("users:write", ""), ("order:write", ""), ("actions", ""),
        ("action:orders", ""), ("", ""), ("orders", ""), ("orders:", ""), (":read", ""), ("*", ""), ("READ", ""),
    ],
)  # fmt: skip
def test_what_a_scope_allows_with_a_model(scope: str, allowed: str) -> None:
    scopes = frozenset({scope})
    assert [action for action in ACTIONS if permitted(scopes, ORDER, action)] == allowed.split()  # type: ignore[arg-type]


def test_no_scope_allows_nothing_and_no_limit_allows_all() -> None:
    assert [permitted(frozenset(), ORDER, action) for action in ACTIONS] == [False] * 4  # type: ignore[arg-type]
    assert [permitted(None, ORDER, action) for action in ACTIONS] == [True] * 4  # type: ignore[arg-type]


def test_a_model_called_action_is_not_meant_by_the_scope_of_an_action() -> None:
    assert not permitted(frozenset({"action:read", "actions"}), ACT, "read")
    assert permitted(frozenset({"read"}), ACT, "read")
    with pytest.raises(Unfit):
        parse_scope("action:write", SCHEMA.by_plural(), ["read"])


KEY = Actor("1", frozenset({"staff"}), key="k", scopes=frozenset({"action:quote", "orders:read"}))


def test_an_action_is_called_by_its_name_and_runs_as_the_owner() -> None:
    assert permit_call(KEY, "quote", SignedIn()) == Actor("1", frozenset({"staff"}), key="k")
    assert permit_call(unscoped(KEY), "pay", ANYONE) == unscoped(KEY)
    every = Actor("1", key="k", scopes=frozenset({"actions"}))
    assert permit_call(every, "pay", ANYONE).scopes is None


@pytest.mark.parametrize("name", ["pay", "quot", "orders", "read", ""])
def test_an_action_that_no_scope_names_is_refused_also_where_anybody_may_call_it(name: str) -> None:
    with pytest.raises(Denied) as caught:
        permit_call(KEY, name, ANYONE)
    assert (caught.value.status, caught.value.code) == (403, "insufficient_scope")
    assert caught.value.headers == {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="action:{name}"'}


def test_a_scope_gives_no_right() -> None:
    with pytest.raises(Denied) as caught:
        permit_call(KEY, "quote", HasRole("admin"))
    assert caught.value.code == "denied"
    with pytest.raises(NotSignedIn):
        permit_call(ANONYMOUS, "quote", SignedIn())


def test_the_scopes_are_part_of_the_standing() -> None:
    wide, narrow = (Actor("1", scopes=frozenset(names)) for names in (["read"], ["orders:read"]))
    assert len({wide.standing, narrow.standing, Actor("1").standing, Actor("1", scopes=frozenset()).standing}) == 4
    assert wide.standing == Actor("2", scopes=frozenset({"read"})).standing


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("read orders:read", "read"), ("write read create orders:update", "write"),
        ("orders:write orders:read orders:create", "orders:write"), ("update read", "update"),
        ("orders:update orders:delete orders:read", "orders:delete orders:update"),
        ("read users:write", "read users:write"), ("create orders:read", "create orders:read"),
        ("create orders:create", "create"), ("actions action:quote", "actions"),
        ("write action:quote", "action:quote write"),
        ("write actions", "actions write"), ("action:a action:b", "action:a action:b"), ("read read", "read"), ("", ""),
    ],
)  # fmt: skip
def test_what_others_include_is_left_out(given: str, kept: str) -> None:
    assert sorted(canonical(given.split())) == kept.split()


def test_leaving_out_changes_nothing() -> None:
    names = [*GRANTS, *(f"orders:{verb}" for verb in GRANTS), "users:read", "action:quote", "actions"]
    for first in names:
        for second in names:
            both = frozenset({first, second})
            for entity in (ORDER, SCHEMA.user):
                for action in ACTIONS:
                    before = permitted(both, entity, action)  # type: ignore[arg-type]
                    assert permitted(canonical(both), entity, action) == before  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [*GRANTS, "actions", "action:quote", "orders:read", "users:write"])
def test_what_is_a_scope(text: str) -> None:
    assert parse_scope(text, SCHEMA.by_plural(), ["quote"]) == text


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("order:read", "not_a_choice", 'names no scope of this application. Did you mean "orders:read"?'),
        ("orders.read", "not_a_choice", 'names no scope of this application. Did you mean "orders:read"?'),
        ("action:quot", "not_a_choice", 'names no scope of this application. Did you mean "action:quote"?'),
        ("account_keys:read", "not_a_choice", "names no scope of this application"),
        ("*", "not_a_choice", "names no scope of this application"),
        ("x" * 10_000, "not_a_choice", "names no scope of this application"),
        (None, "wrong_type", "must be a text"), (["read"], "wrong_type", "must be a text"),
    ],
)  # fmt: skip
def test_what_is_none(text: object, code: str, said: str) -> None:
    with pytest.raises(Unfit) as caught:
        parse_scope(text, ["orders", "users"], ["quote"])
    assert (caught.value.code, str(caught.value)) == (code, said)


def test_the_user_class_is_a_model_like_others() -> None:
    assert issubclass(SCHEMA.user.model, User)
    assert permitted(frozenset({"users:read"}), SCHEMA.user, "read")
