"""Encrypted fields: sealed where a record is written, opened where one is read, and nowhere between.

What is sealed is the JSON text of a value, bound to its model, its field and the id of its record. So an answer is
opened by putting texts in place of texts, at the places that its plan marks. Invariant: no value of an encrypted field
reaches a statement but through `sealed_values`, and a value that was moved to another record or field does not open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, Union

import msgspec

from backstay.model.field import Entity, Field
from backstay.model.value import parse, plain
from backstay.plan.tree import GroupRoot, Leaf, Output, ReadPlan, Record, Records, Said
from backstay.store.json_text import json_text
from backstay.store.keyring import KeyRing, Unreadable

Marks: TypeAlias = Mapping[str, Union[str, "Marks"]]
"""Where encrypted values stand in a record: under these names the label of one, or the marks of a record inside."""

_SEALED = re.compile(r"1\.[a-z0-9_-]+\.[A-Za-z0-9_-]{38,}")

_Raw: TypeAlias = dict[str, msgspec.Raw]
_record = msgspec.json.Decoder(_Raw).decode
_records = msgspec.json.Decoder(list[_Raw]).decode
_text = msgspec.json.Decoder(str).decode


def seal(ring: KeyRing, field: Field, key: str, value: Any) -> str:
    """The text that stands in the column of an encrypted field, for a canonical value of the record with this id."""
    return ring.seal_text(_purpose(field.label), json_text(field.kind, value), (key,))


def open_value(ring: KeyRing, field: Field, key: str, text: str) -> Any:
    """The canonical value of what stands in the column. Raises `Unreadable`."""
    return parse(plain(field.kind), msgspec.json.decode(_open(ring, field.label, key, text)))


def sealed_values(
    ring: Callable[[], KeyRing], entity: Entity, key: str, values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The values of a record as they may leave this process: those of encrypted fields sealed, each time anew.

    What stores a record, or logs what changed in it, takes them from here.
    """
    names = [name for name in entity.sealed if values.get(name) is not None]
    return (
        {**values, **{name: seal(ring(), entity.fields[name], key, values[name]) for name in names}}
        if names
        else values
    )


def opened_values(
    ring: Callable[[], KeyRing], entity: Entity, key: str, values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The canonical values of a record of which `sealed_values` or the database gave the encrypted ones."""
    names = [name for name in entity.sealed if values.get(name) is not None]
    opened = {name: open_value(ring(), entity.fields[name], key, values[name]) for name in names}
    return {**values, **opened} if names else values


def opened_json(ring: Callable[[], KeyRing], entity: Entity, key: str, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """A stored record as the change log keeps it, from its JSON, with its encrypted values in the clear."""
    labels = {name: entity.fields[name].label for name in entity.sealed if raw.get(name) is not None}
    if not labels:
        return raw
    keys = ring()
    return {**raw, **{name: msgspec.json.decode(_open(keys, label, key, raw[name])) for name, label in labels.items()}}


def seal_again(ring: KeyRing, field: Field, key: str, text: str) -> str:
    """The same value sealed with the newest key; the text itself where it is that already. Raises `Unreadable`."""
    if text.startswith(ring.prefix(ring.newest)):
        return text
    return ring.seal_text(_purpose(field.label), _open(ring, field.label, key, text), (key,))


def seal_inside_again(ring: KeyRing, entity: Entity, key: str, record: str) -> str:
    """A record as the change log keeps it, with its encrypted values sealed with the newest key."""
    raw = _record(record)
    for name in entity.sealed:
        if name in raw and bytes(raw[name]) != b"null":
            again = seal_again(ring, entity.fields[name], key, _text(raw[name]))
            raw[name] = msgspec.Raw(msgspec.json.encode(again))
    return msgspec.json.encode(raw).decode()


def only_sealed(text: Any) -> str:
    """The text of a column, seen to be sealed: a way to the database that forgot to seal ends here."""
    if not isinstance(text, str) or not _SEALED.fullmatch(text):
        raise TypeError("An encrypted field is written by what sealed_values returns.")
    return text


def marks_of(plan: ReadPlan) -> tuple[Marks, ...]:
    """The marks of each root of a plan; empty where it reads no encrypted value at all."""
    marks = tuple({} if isinstance(root, GroupRoot) else _marks(root.rows.output) for root in plan.roots)
    return marks if any(marks) else ()


def _marks(output: Output) -> Any:
    match output:
        case Leaf(sealed=sealed):
            return sealed.label if sealed is not None else None
        case Said():
            return None
        case Record(items):
            return {name: inside for name, part in items if (inside := _marks(part))}
        case Records(rows):
            return _marks(rows.output)


def open_texts(ring: KeyRing, marks: Marks, texts: Sequence[Any]) -> list[bytes]:
    """Records of an answer as JSON, with their encrypted values in the clear."""
    return [msgspec.json.encode(_opened(ring, marks, _record(text))) for text in texts]


def _opened(ring: KeyRing, marks: Marks, record: _Raw) -> _Raw:
    for name, mark in marks.items():
        raw = bytes(record[name])
        if raw == b"null":
            continue
        if isinstance(mark, str):
            key, _, sealed = _text(raw).partition(":")
            record[name] = msgspec.Raw(_open(ring, mark, key, sealed))
        elif raw.startswith(b"["):
            record[name] = msgspec.Raw(msgspec.json.encode([_opened(ring, mark, one) for one in _records(raw)]))
        else:
            record[name] = msgspec.Raw(msgspec.json.encode(_opened(ring, mark, _record(raw))))
    return record


def _open(ring: KeyRing, label: str, key: str, text: str) -> bytes:
    try:
        return ring.open_text(_purpose(label), text, (key,))
    except Unreadable as alarm:
        raise Unreadable(f"{alarm.purpose} of {key}", alarm.reason) from None


def _purpose(label: str) -> str:
    return f"field {label}"
