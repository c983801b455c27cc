"""What own code declares to be done later: jobs, flows, and jobs that come round again; each by its name.

Invariant: what a task takes is JSON and has types. It is checked when it is put off, by whoever puts it off, and not
when it runs, by nobody.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, TypeAlias, cast, get_type_hints

import msgspec

from backstay.errors import DeclarationError, Mistake
from backstay.model.declare import Model
from backstay.store.context import Context
from backstay.store.transaction import Transaction

Kind: TypeAlias = Literal["job", "flow"]
RESERVED = frozenset(("delay", "unique", "order_key", "priority", "id", "driven"))
LARGEST = 65_536
"""Bytes of the arguments of one job, of what a step is given and of what comes of it."""


class Task:
    """A function of own code that is called later. A flow has a version, and its name in the queue ends with it."""

    def __init__(
        self, function: Callable[..., Any], kind: Kind, first: type[Any] | tuple[type[Any], ...], *, name: str = "",
        version: int = 0, attempts: int = 10, priority: int = 0, timeout: float = 60.0,
    ) -> None:  # fmt: skip
        self.function = function
        self.kind = kind
        self.name = name or function.__name__
        self.known = f"{self.name}@{version}" if kind == "flow" else self.name
        self.version = version
        self.attempts = attempts
        self.priority = priority
        self.timeout = timeout
        mistakes: list[Mistake] = []
        if "@" in self.name or not self.name:
            mistakes.append(Mistake(self.name, "a name has no @ in it."))
        if attempts < 1 or timeout <= 0:
            mistakes.append(Mistake(self.name, "it is tried at least once, and has some time for it."))
        parameters = list(inspect.signature(function).parameters.values())
        hints = get_type_hints(function, include_extras=True)
        wanted = first if isinstance(first, tuple) else (first,)
        given = hints.get(parameters[0].name) if parameters else None
        if given not in wanted or not inspect.iscoroutinefunction(function):
            names = " or ".join(one.__name__ for one in wanted)
            mistakes.append(Mistake(self.name, f"it is async, and its first argument is annotated {names}."))
        self.one_transaction = given is Transaction
        fields: list[Any] = []
        for parameter in parameters[1:]:
            place, hint = f"{self.name}({parameter.name})", hints.get(parameter.name)
            if parameter.name in RESERVED:
                mistakes.append(Mistake(place, "the name has a meaning of its own where it is put off."))
            elif hint is None:
                mistakes.append(Mistake(place, "it has no type.", "Annotate every argument."))
            elif isinstance(hint, type) and issubclass(hint, Model):
                mistakes.append(Mistake(place, "a record is not handed on.", "Hand on its id: UUID."))
            elif parameter.default is inspect.Parameter.empty:
                fields.append((parameter.name, hint))
            else:
                fields.append((parameter.name, hint, parameter.default))
        self._decoder: msgspec.json.Decoder[Any]
        try:
            struct = msgspec.defstruct(self.name, fields, kw_only=True, forbid_unknown_fields=True)
            self._decoder = msgspec.json.Decoder(struct)
        except TypeError as error:
            mistakes.append(Mistake(self.name, f"its arguments are no JSON: {error}"))
        self.takes = tuple(field[0] for field in fields)
        if mistakes:
            raise DeclarationError(mistakes)

    def encode(self, arguments: Mapping[str, Any]) -> str:
        """Arguments as JSON. Raises `TypeError` for others than it takes."""
        try:
            raw = msgspec.json.encode(arguments)
            self._decoder.decode(raw)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise TypeError(f"{self.name}: {error}") from None
        if len(raw) > LARGEST:
            raise TypeError(f"{self.name}: {len(raw)} bytes of arguments are too many: hand on an id.")
        return raw.decode()

    def decode(self, text: str) -> dict[str, Any]:
        """The arguments of such a text. Raises `msgspec.ValidationError` where it takes others by now."""
        found = self._decoder.decode(text)
        return {name: getattr(found, name) for name in self.takes}


class Tasks:
    """What one application declares, by function and by name."""

    def __init__(self) -> None:
        self.all: dict[str, Task] = {}
        self._by_function: dict[Any, Task] = {}

    def add(self, task: Task) -> None:
        """Declare one more. Raises `ValueError` where another one has its name."""
        if task.known in self.all:
            raise ValueError(f'There is a {task.kind} "{task.known}" already: give one of them another name=.')
        self.all[task.known] = self._by_function[task.function] = task

    def of(self, function: Callable[..., Any], kind: Kind) -> Task:
        """The task of a function. Raises `TypeError` where it is none."""
        task = self._by_function.get(function)
        if task is None or task.kind != kind:
            name = getattr(function, "__name__", repr(function))
            raise TypeError(f"{name} is no {kind}: put @app.{kind}() above it.")
        return task

    def names(self) -> Collection[str]:
        """Everything that this application can do."""
        return self.all.keys()


def json_of(value: Any, what: str) -> str:
    """A value as JSON. Raises `TypeError` where it is none, or is too large."""
    try:
        raw = msgspec.json.encode(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} is no JSON: {error}") from None
    if len(raw) > LARGEST:
        raise TypeError(f"{what} has {len(raw)} bytes, which are too many: keep it in a record.")
    return raw.decode()


def value_of(text: str | None, hint: Any) -> Any:
    """A value again, as the type that is asked for."""
    if text is None:
        return None
    return cast(Any, msgspec.json.decode(text, type=hint if hint not in (None, type(None)) else Any))


def accepts(function: Callable[..., Any]) -> tuple[bool, list[Any], Any]:
    """Of a step: whether it is one transaction, the types of its other arguments, and of what it returns."""
    hints = get_type_hints(function)
    names = list(inspect.signature(function).parameters)
    if not names or hints.get(names[0]) not in (Context, Transaction):
        raise TypeError(f"{function.__name__}: the first argument of a step is annotated Context or Transaction.")
    return hints[names[0]] is Transaction, [hints.get(name, Any) for name in names[1:]], hints.get("return", Any)
