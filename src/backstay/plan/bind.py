"""The values of one request are checked and put in the order of a plan's parameters.

Invariant: this is the only way a value from outside reaches a statement, and it arrives canonical.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from backstay.errors import BadRequest
from backstay.model.folding import fold, words
from backstay.model.value import INTEGER, Money, Unfit, parse
from backstay.plan.actor import Actor
from backstay.plan.limits import Limits
from backstay.plan.tree import ParamSpec, ReadPlan


def bind(
    params: Sequence[ParamSpec], values: Sequence[Any], actor: Actor, now: datetime, limits: Limits,
    old: Sequence[Any] = (),
) -> list[Any]:  # fmt: skip
    """Canonical values for the parameters, in order. Raises `BadRequest` that names the place of an unfit one."""
    bound: list[Any] = []
    for spec in params:
        if spec.source == "slot":
            bound.append(_slot(spec, values[spec.index], limits))
        elif spec.source == "me":
            bound.append(actor.id)
        elif spec.source == "now":
            bound.append(now + spec.value)
        elif spec.source == "key":
            bound.append(values[spec.index])
        elif spec.source == "old":
            bound.append(old[spec.index])
        else:
            bound.append(_part(spec, spec.value))
    return bound


def check_cost(plan: ReadPlan, bound: Sequence[Any], limits: Limits) -> None:
    """Refuse a question whose limits multiply to more rows than one question may make."""
    for window in plan.windows:
        rows = 1
        for position in window:
            rows *= bound[position]
        if rows > limits.max_rows:
            raise BadRequest(
                f"This could make {rows} rows, and one question may make {limits.max_rows}: set smaller limits.",
                code="too_expensive",
            )


def _slot(spec: ParamSpec, raw: Any, limits: Limits) -> Any:
    try:
        if spec.part in ("limit", "next", "offset"):
            return _part(spec, _window(spec, raw))
        if spec.many:
            items = raw.split(",") if spec.from_text and isinstance(raw, str) else raw
            if not isinstance(items, (list, tuple)):
                raise Unfit("wrong_type", "must be a list")
            if len(items) > limits.max_in:
                raise Unfit("too_long", f"must have at most {limits.max_in} entries")
            return [_part(spec, parse(spec.kind, item, from_text=spec.from_text)) for item in items]
        if spec.kind.name == "money" and isinstance(raw, int) and spec.kind.currency and not isinstance(raw, bool):
            raw = Money(raw, spec.kind.currency)
        value = parse(spec.kind, raw, from_text=spec.from_text)
        too_long = (
            len(value) > limits.max_needle or len(words(value)) > limits.max_words if spec.part == "words" else False
        )
        if too_long:
            raise Unfit("too_long", f"must have at most {limits.max_needle} characters and {limits.max_words} words")
        return _part(spec, value)
    except Unfit as unfit:
        raise BadRequest(f"{spec.place or 'A value'} {unfit}.", code="invalid_filter") from None


def _window(spec: ParamSpec, raw: Any) -> int:
    value: int = parse(INTEGER, raw, from_text=True)
    least = 0 if spec.part == "offset" else 1
    if not least <= value <= spec.bound:
        raise Unfit("out_of_range", f"must be between {least} and {spec.bound}")
    return value


def _part(spec: ParamSpec, value: Any) -> Any:
    match spec.part:
        case "":
            return value
        case "amount":
            if isinstance(value, Money):
                return value.amount
            return [item.amount for item in value] if isinstance(value, list) else value
        case "currency":
            return value.currency
        case "folded":
            return fold(value)
        case "words" | "rank":
            return words(value)
        case "next":
            return value + 1
        case _:
            return value
