"""The values of one request are checked and put in the order of a plan's parameters.

Invariant: this is the only way a value from outside reaches a statement, and it arrives canonical.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from backstay.errors import BadRequest
from backstay.model.folding import fold, words
from backstay.model.value import INTEGER, Money, Unfit, as_key, minor_units, parse
from backstay.plan.actor import Actor
from backstay.plan.limits import Limits
from backstay.plan.tree import ParamSpec, ReadPlan

Binder: TypeAlias = Callable[[Sequence[Any], Actor, datetime, Sequence[Any]], Any]


def binder(spec: ParamSpec, limits: Limits) -> Binder:
    """What makes one parameter's canonical value from (values, actor, now, old values)."""
    index = spec.index
    match spec.source:
        case "slot":
            if spec.kind.name == "uuid" and not spec.many:
                return lambda values, actor, now, old: _key(spec, values[index])
            if spec.from_text and not spec.many and (spec.part in ("limit", "next") or _is_amount(spec)):
                return lambda values, actor, now, old: _digits(spec, values[index], limits)
            return lambda values, actor, now, old: _slot(spec, values[index], limits)
        case "me":
            return lambda values, actor, now, old: actor.id
        case "brought":
            return lambda values, actor, now, old: actor.brought[spec.value]
        case "now":
            offset = spec.value
            return lambda values, actor, now, old: now + offset
        case "key":
            return lambda values, actor, now, old: values[index]
        case "old":
            return lambda values, actor, now, old: old[index]
        case _:
            constant = _part(spec, spec.value)
            return lambda values, actor, now, old: constant


def binders(params: Sequence[ParamSpec], limits: Limits) -> tuple[Binder, ...]:
    """The binders of a plan; kept with its statement."""
    return tuple(binder(spec, limits) for spec in params)


def bind(
    params: Sequence[ParamSpec], values: Sequence[Any], actor: Actor, now: datetime, limits: Limits,
    old: Sequence[Any] = (),
) -> list[Any]:  # fmt: skip
    """Canonical values for the parameters, in order. Raises `BadRequest` that names the place of an unfit one."""
    return [make(values, actor, now, old) for make in binders(params, limits)]


def _is_amount(spec: ParamSpec) -> bool:
    return spec.part == "amount" and bool(spec.kind.currency)


def _digits(spec: ParamSpec, raw: Any, limits: Limits) -> Any:
    """The usual case of a number in a query string, a few digits, without a detour; the rest takes the long way."""
    if type(raw) is str and len(raw) < 10 and raw.isdigit() and raw.isascii():
        number = int(raw)
        if spec.part == "amount":
            return number
        if 1 <= number <= spec.bound:
            return number + 1 if spec.part == "next" else number
    return _slot(spec, raw, limits)


def _key(spec: ParamSpec, raw: Any) -> str:
    try:
        return as_key(raw)
    except Unfit as unfit:
        raise BadRequest(f"{spec.place or 'An id'} {unfit}.", code="invalid_filter") from None


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
            return [_part(spec, _parse(spec, item)) for item in items]
        value = _parse(spec, raw)
        if spec.part == "words":
            _check_needle(spec, value, limits)
        return _part(spec, value)
    except Unfit as unfit:
        raise BadRequest(f"{spec.place or 'A value'} {unfit}.", code="invalid_filter") from None


def _check_needle(spec: ParamSpec, value: str, limits: Limits) -> None:
    if len(value) > limits.max_needle:
        raise Unfit("too_long", f"must have at most {limits.max_needle} characters")
    if len(words(value)) > limits.max_words:
        said = f"{spec.place or 'A search'} must have at most {limits.max_words} words."
        raise BadRequest(said, code="too_expensive")


def _parse(spec: ParamSpec, raw: Any) -> Any:
    return parse(spec.kind, minor_units(spec.kind, raw), from_text=spec.from_text)


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
