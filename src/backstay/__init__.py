"""Backstay: the complete backend of a web application, declared in one Python file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backstay.api.identity import Caller as Caller
    from backstay.app import App as App
    from backstay.errors import BadRequest as BadRequest
    from backstay.errors import Conflict as Conflict
    from backstay.errors import Denied as Denied
    from backstay.errors import Invalid as Invalid
    from backstay.errors import NotFound as NotFound
    from backstay.errors import Problem as Problem
    from backstay.jobs.failure import Permanent as Permanent
    from backstay.jobs.failure import StepFailed as StepFailed
    from backstay.jobs.flow import Flow as Flow
    from backstay.jobs.flow import Signal as Signal
    from backstay.mail.values import MailLine as MailLine
    from backstay.mail.values import MailOrder as MailOrder
    from backstay.model.declare import Model as Model
    from backstay.model.declare import User as User
    from backstay.model.fact import Fact as Fact
    from backstay.model.fact import created as created
    from backstay.model.fact import deleted as deleted
    from backstay.model.fact import fact as fact
    from backstay.model.fact import updated as updated
    from backstay.model.field import Index as Index
    from backstay.model.rule import Many as Many
    from backstay.model.rule import Rules as Rules
    from backstay.model.rule import anyone as anyone
    from backstay.model.rule import choose as choose
    from backstay.model.rule import coalesce as coalesce
    from backstay.model.rule import computed as computed
    from backstay.model.rule import contains as contains
    from backstay.model.rule import current_user as current_user
    from backstay.model.rule import field_rule as field
    from backstay.model.rule import icontains as icontains
    from backstay.model.rule import index as index
    from backstay.model.rule import is_null as is_null
    from backstay.model.rule import made_from as made_from
    from backstay.model.rule import many as many
    from backstay.model.rule import new as new
    from backstay.model.rule import nobody as nobody
    from backstay.model.rule import not_ as not_
    from backstay.model.rule import now as now
    from backstay.model.rule import old as old
    from backstay.model.rule import on_delete as on_delete
    from backstay.model.rule import one_of as one_of
    from backstay.model.rule import role as role
    from backstay.model.rule import searchable as searchable
    from backstay.model.rule import sequence as sequence
    from backstay.model.rule import signed_in as signed_in
    from backstay.model.rule import starts_with as starts_with
    from backstay.model.rule import unique as unique
    from backstay.model.rule import was as was
    from backstay.model.secret import secret_hash as secret_hash
    from backstay.model.value import URL as URL
    from backstay.model.value import BigInt as BigInt
    from backstay.model.value import Currency as Currency
    from backstay.model.value import Digits as Digits
    from backstay.model.value import Email as Email
    from backstay.model.value import Encrypted as Encrypted
    from backstay.model.value import Json as Json
    from backstay.model.value import Money as Money
    from backstay.model.value import Pattern as Pattern
    from backstay.model.value import SealedAs as SealedAs
    from backstay.model.value import Secret as Secret
    from backstay.model.value import Slug as Slug
    from backstay.net.answer import HTTPAnswer as HTTPAnswer
    from backstay.net.failure import AddressRefused as AddressRefused
    from backstay.net.failure import BadAnswer as BadAnswer
    from backstay.net.failure import OutboundError as OutboundError
    from backstay.net.failure import Unanswered as Unanswered
    from backstay.net.failure import Unreachable as Unreachable
    from backstay.net.http import HTTP as HTTP
    from backstay.plan.actor import Actor as Actor
    from backstay.plan.limits import Limits as Limits
    from backstay.store.context import Context as Context
    from backstay.store.exchange import Also as Also
    from backstay.store.exchange import Raw as Raw
    from backstay.store.exchange import Reply as Reply
    from backstay.store.later import Driven as Driven
    from backstay.store.transaction import Transaction as Transaction

_PLACES = {
    "api.identity": ("Caller",),
    "app": ("App",),
    "errors": ("BadRequest", "Conflict", "Denied", "Invalid", "NotFound", "Problem"),
    "jobs.failure": ("Permanent", "StepFailed"),
    "jobs.flow": ("Flow", "Signal"),
    "mail.values": ("MailLine", "MailOrder"),
    "model.declare": ("Model", "User"),
    "model.fact": ("Fact", "created", "deleted", "fact", "updated"),
    "model.field": ("Index",),
    "model.secret": ("secret_hash",),
    "model.rule": (
        "Many", "Rules", "anyone", "choose", "coalesce", "computed", "contains", "current_user", "icontains", "index",
        "is_null", "made_from", "many", "new", "nobody", "not_", "now", "old", "on_delete", "one_of", "role",
        "searchable", "sequence", "signed_in", "starts_with", "unique", "was",
    ),
    "model.value": (
        "URL", "BigInt", "Currency", "Digits", "Email", "Encrypted", "Json", "Money", "Pattern",
        "SealedAs", "Secret", "Slug",
    ),
    "net.answer": ("HTTPAnswer",),
    "net.failure": ("AddressRefused", "BadAnswer", "OutboundError", "Unanswered", "Unreachable"),
    "net.http": ("HTTP",),
    "plan.actor": ("Actor",),
    "plan.limits": ("Limits",),
    "store.context": ("Context",),
    "store.exchange": ("Also", "Raw", "Reply"),
    "store.later": ("Driven",),
    "store.transaction": ("Transaction",),
}  # fmt: skip
_HOMES = {name: room for room, names in _PLACES.items() for name in names}

__version__ = "0.1.0"
__all__ = [*_HOMES, "field"]


def __getattr__(name: str) -> Any:
    """Each public name is imported when it is first used, so that the command line starts at once."""
    if name == "field":
        value: Any = import_module("backstay.model.rule").field_rule
    elif (room := _HOMES.get(name)) is not None:
        value = getattr(import_module(f"backstay.{room}"), name)
    else:
        raise AttributeError(f"module 'backstay' has no attribute {name!r}")
    globals()[name] = value
    return value
