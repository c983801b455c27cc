"""What an application declares: its own models and the classes of an application that is there already, one schema.

Invariant: the schema is read once, when it is first looked at, and only if nothing is wrong with any of it. Exposed
classes may refer to each other in any order; SQLAlchemy's mappers are looked at where there are such classes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from backstay.errors import DeclarationError, Mistake
from backstay.model.declare import Model, User
from backstay.model.fact import Fact, UpdateFact
from backstay.model.field import Schema
from backstay.model.schema import declare
from backstay.plan.limits import Limits
from backstay.plan.soundness import mistakes
from backstay.store.dialect import named, quoted
from backstay.store.port import Store

if TYPE_CHECKING:
    from backstay.store.mapped import Exposure


async def see_tables(schema: Schema, store: Store) -> None:
    """Raise `RuntimeError` where the tables of exposed classes are not there, or not as their classes say."""
    for entity in schema.entities.values():
        if entity.existing is None:
            continue
        columns = ", ".join(quoted(field.column) for field in entity.fields.values())
        try:
            await store.run(f"SELECT {columns} FROM {named(entity)} WHERE 1 = 0", ())
        except Exception as error:
            raise RuntimeError(
                f"The table {named(entity)} is not as {entity.name} says ({type(error).__name__}: {error}).\n"
                "It belongs to the application that is joined: run its migrations first."
            ) from None


class Declaration:
    """The models, the exposed classes and the class of users of one application.

    `identifies` says that it has a log-in of its own; `hidden` are the models that ours would need, and `always` those
    that are kept whoever has the accounts. Without exposed
    classes the schema is read at once, and mistakes are raised as `DeclarationError`.
    """

    def __init__(
        self, models: Sequence[type[Model]], user: type[Any] | None, identifies: bool, hidden: Sequence[type[Model]],
        limits: Limits, always: Sequence[type[Model]] = (),
    ) -> None:  # fmt: skip
        self._models = tuple(models)
        self._user = user
        self._limits = limits
        self._hidden = (*hidden, *always)
        self._exposures: dict[type[Any], Exposure] = {}
        self._schema: Schema | None = None
        self.accounts = not identifies
        """Whether the accounts are Backstay's."""
        if user is None or issubclass(user, Model):
            _ = self.schema
            return
        if not identifies:
            hint = "App(user=..., identify=who), with async def who(caller) -> Actor | None."
            said = "it is the class of another application, and only its log-in knows who sends a request."
            raise DeclarationError([Mistake(user.__name__, said, hint)])
        self._hidden = tuple(always)
        self.expose(user, hidden=True)

    @property
    def joins(self) -> bool:
        """Whether another application has tables in the database."""
        return bool(self._exposures)

    def expose(self, model: type[Any], **how: Any) -> None:
        """Add a class of an application that is there already."""
        from backstay.store.mapped import Exposure

        self._exposures[model] = Exposure(model, **how)
        self._schema = None

    @property
    def schema(self) -> Schema:
        """All of it, read. Raises `DeclarationError` with every mistake at once."""
        if self._schema is None:
            self._schema = self._read()
        return self._schema

    def _read(self) -> Schema:
        if not self._exposures:
            schema = declare(self._models, user=self._user, hidden=self._hidden)
        else:
            from backstay.store.mapped import read_existing

            joined = read_existing(list(self._exposures.values()))
            schema = declare(
                self._models, user=self._user, hidden=self._hidden, existing=joined.entities,
                mistakes=joined.mistakes, tables=joined.tables,
            )  # fmt: skip
        if unsound := mistakes(schema, self._limits):
            raise DeclarationError(unsound)
        return schema

    def name_of(self, model: type[Any]) -> str:
        """What records of a class are called. Raises `KeyError` for one that is not part of the application."""
        if (exposure := self._exposures.get(model)) is not None:
            return exposure.name or model.__name__
        known = {one.__name__ for one in (*self._models, *self._hidden, self._user or self._people())}
        if model.__name__ not in known:
            raise KeyError(model.__name__)
        return model.__name__

    def _people(self) -> type[Model]:
        return next((model for model in self._models if issubclass(model, User)), User)

    def tells(self, fact: Fact[Any] | UpdateFact[Any]) -> None:
        """Refuse a fact that nothing would tell of."""
        if fact.model in self._exposures and fact.name in ("created", "updated", "deleted"):
            raise ValueError(
                f"{fact} cannot be reacted to: others write to the table of {fact.model.__name__} as well, and no "
                "change log knows of that. Tell a fact of your own with tx.emit in a hook."
            )
        self.name_of(fact.model)
