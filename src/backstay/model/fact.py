"""Facts: what can become true of a record, named so that own code can react to it.

Invariant: a fact belongs to one model. Three are there for each model, `created`, `updated` and `deleted`; a model
declares others with `fact()`, and own code tells them with `tx.emit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from backstay.model.declare import Model

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Fact(Generic[M]):
    """Something that can become true of a record of a model; reactions are told after it did."""

    model: type[M]
    name: str

    def __str__(self) -> str:
        return f"{self.model.__name__}.{self.name}"


@dataclass(frozen=True, slots=True)
class UpdateFact(Generic[M]):
    """That a record was changed; its reactions are handed the record as it was, too."""

    model: type[M]
    name: str = "updated"

    def __str__(self) -> str:
        return f"{self.model.__name__}.{self.name}"


def created(model: type[M]) -> Fact[M]:
    """That a record was added: `@app.on(created(Review))`."""
    return Fact(model, "created")


def updated(model: type[M]) -> UpdateFact[M]:
    """That a record was changed: `@app.on(updated(Review))`; the reaction is handed the old record as well."""
    return UpdateFact(model)


def deleted(model: type[M]) -> Fact[M]:
    """That a record was deleted, by itself or with another: `@app.on(deleted(Review))`."""
    return Fact(model, "deleted")


class fact:
    """Declares a fact of a model's own; `tx.emit` tells it, `@app.on` reacts to it.

    >>> class Order(Model):
    ...     total: int
    ...     paid = fact()
    >>> str(Order.paid)
    'Order.paid'
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, record: object, model: type[M]) -> Fact[M]:
        return Fact(model, self._name)
