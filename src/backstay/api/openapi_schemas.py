"""The schemas of an OpenAPI document: records, bodies, lists and filters of each model, as one standing sees them.

Invariant: every schema asks the same `View`, so a field that this standing may not read is in none of them. Rules
are put into words for the developer's own document only.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from backstay.api.json_schema import CLEAN, json_schema, nullable
from backstay.api.view import Access, Part, View
from backstay.auth.password import LONGEST, SHORTEST
from backstay.model.declare import User
from backstay.model.field import Computed, Entity, Field, ToMany
from backstay.model.predicate import ANYONE, describe
from backstay.model.value import INTEGER, TEXT, Kind, plain
from backstay.plan.limits import Limits
from backstay.plan.planner import SUMMABLE
from backstay.plan.write import filled_by_table

_PASSWORD = {
    "type": "string", "format": "password", "minLength": SHORTEST, "maxLength": LONGEST, "pattern": CLEAN,
    "writeOnly": True,
}  # fmt: skip
_KEY = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"


class Schemas:
    """Writes the schemas of one document into `made`, each under one name."""

    def __init__(self, of: View, limits: Limits) -> None:
        self.view = of
        self.limits = limits
        self.made: dict[str, Any] = {}

    def name(self, base: str) -> str:
        """A name that no model has."""
        while base in self.view.schema.entities:
            base += "_"
        return base

    def ref(self, name: str) -> dict[str, Any]:
        """A reference to a schema of the document."""
        return {"$ref": f"#/components/schemas/{name}"}

    def shared(self, base: str, schema: dict[str, Any]) -> dict[str, Any]:
        """A reference to a schema that belongs to no model, put into the document the first time."""
        name = self.name(base)
        self.made.setdefault(name, schema)
        return self.ref(name)

    def value(self, kind: Kind, *, sent: bool = True) -> dict[str, Any]:
        """A value in a question, or in an answer; what takes many words is written once for all fields of its kind."""
        kind = plain(kind)
        schema = json_schema(kind, sent=sent)
        if kind.name in ("time", "duration", "money"):
            return self.shared(_camel(kind.name) + kind.currency, schema)
        return schema

    # Records.

    def record(self, entity: Entity) -> dict[str, Any]:
        """A reference to the whole record as this standing reads it."""
        if entity.name not in self.made:
            always = [part.name for part in self.view.parts(entity) if not isinstance(part, ToMany)]
            self.made[entity.name] = {**_described(said(entity)), "allOf": [self._part(entity)], "required": always}
        return self.ref(entity.name)

    def shown(self, entity: Entity) -> dict[str, Any]:
        """A record in an answer; the request may have asked for some of its `fields` only."""
        return {"anyOf": [self.record(entity), self._part(entity)]}

    def _part(self, entity: Entity) -> dict[str, Any]:
        """A reference to what was asked for of a record."""
        name = self.name(f"{entity.name}Part")
        if name not in self.made:
            self.made[name] = {}  # relations may lead back here
            properties = {part.name: self._read(part) for part in self.view.parts(entity)}
            told = "What `fields` named of it; the whole record has all of these."
            self.made[name] = {"type": "object", "description": told, "properties": properties}
        return self.ref(name)

    def _read(self, part: Part) -> dict[str, Any]:
        if isinstance(part, ToMany):
            schema: dict[str, Any] = {"type": "array", "items": json_schema(plain(part.target.key.kind))}
            if self.view.opens(part.target):
                schema["items"] = {"anyOf": self._one(part.target)}
            return self._documented(part, schema, "There when expanded.")
        schema = json_schema(part.kind)
        maybe_null = isinstance(part, Computed) or part.reads_null or self.view.fold(part.read) != ANYONE
        if isinstance(part, Field) and part.target is not None and self.view.opens(part.target):
            schema = {"anyOf": [schema, *self._one(part.target)]}
            maybe_null = maybe_null or self.view.fold(part.target.rules["read"]) != ANYONE
            if maybe_null:
                schema["anyOf"].append({"type": "null"})
            schema = self._documented(part, schema, "The id, or the record when expanded.")
        else:
            schema = self._documented(part, nullable(schema) if maybe_null else schema)
        closed = isinstance(part, Computed) or not self.view.sends(part)
        return {**schema, "readOnly": True} if closed else schema

    def _one(self, entity: Entity) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = self.shown(entity)["anyOf"]
        return shown

    def _documented(self, part: Part, schema: dict[str, Any], *more: str) -> dict[str, Any]:
        texts = [part.doc, schema.get("description", ""), *more]
        if self.view.everything:
            if part.read != ANYONE:
                texts.append(f"Read: `{describe(part.read)}`.")
            if isinstance(part, Field) and part.write != ANYONE:
                texts.append(f"Write: `{describe(part.write)}`.")
        return {**schema, **_described("\n".join(text for text in texts if text))}

    def listing(self, entity: Entity) -> dict[str, Any]:
        """A reference to a page of records."""
        meta = {
            "type": "object",
            "properties": {
                "next_cursor": {
                    "type": ["string", "null"],
                    "description": "Sent back as `cursor`; null on the last page.",
                },
                "total": {"type": "integer", "minimum": 0, "description": "There when `count` asks for it."},
                "total_is_at_least": {
                    "type": "boolean",
                    "description": "There when `total` was counted up to a limit.",
                },
            },
            "required": ["next_cursor"],
        }
        return self.shared(
            f"{entity.name}List",
            {
                "type": "object",
                "properties": {
                    "data": {"type": "array", "items": self.shown(entity), "maxItems": self.limits.max_page},
                    "meta": self.shared("PageMeta", meta),
                },
                "required": ["data", "meta"],
            },
        )

    def groups(self, entity: Entity) -> dict[str, Any]:
        """A reference to the numbers about groups of records."""
        groups: dict[str, Any] = {}
        numbers: dict[str, dict[str, Any]] = {fn: {} for fn in ("sum", "avg", "min", "max")}
        for part in self.view.parts(entity):
            if isinstance(part, ToMany) or not part.kind.ordered:
                continue
            kind = plain(part.kind)
            priced = kind.name == "money" and not kind.currency
            value = nullable(self.value(INTEGER if priced else kind, sent=False))
            deeper = self._deeper(part)
            groups[part.name] = deeper if priced else {"anyOf": [value, deeper]} if deeper else value
            if kind.name in SUMMABLE:
                numbers["sum"][part.name] = nullable(self._total(INTEGER if priced else kind))
                numbers["avg"][part.name] = {"type": ["number", "null"]}
            if kind.name != "boolean":
                numbers["min"][part.name] = numbers["max"][part.name] = value
        count = {"type": "integer", "minimum": 0}
        counted = {"type": "object", "additionalProperties": count}
        row = {
            "type": "object",
            "description": "The groups under the names of their fields, then the numbers asked for.",
            "properties": {
                **groups, "count": count, "count_of": counted, "count_distinct": counted,
                **{fn: {"type": "object", "properties": fields} for fn, fields in numbers.items() if fields},
            },
        }  # fmt: skip
        page = {"type": "object", "properties": {"data": {"type": "array", "items": row}}, "required": ["data"]}
        return self.shared(f"{entity.name}Groups", page)

    def _total(self, kind: Kind) -> dict[str, Any]:
        """A sum, which the bounds of a single value do not hold."""
        match kind.name:
            case "integer":
                return {"type": "integer"}
            case "big_integer":
                return {"type": "string", "pattern": "^-?[0-9]+$"}
            case "money":
                price = json_schema(kind, sent=False)
                amount = {"type": "integer", "description": "In minor units, such as cents."}
                return self.shared(f"Total{kind.currency}", {
                    **price, "properties": {**price["properties"], "amount": amount}, "examples": price["examples"],
                })  # fmt: skip
        return self.value(replace(kind, precision=0), sent=False)

    def _deeper(self, part: Field | Computed) -> dict[str, Any]:
        """What a group by a path answers with: by `created_at.day`, `price.currency` or `category.slug`."""
        if part.kind.name in ("date", "datetime"):
            pieces = {"year": "2026", "month": "2026-11", "day": "2026-11-22"}
            said = {name: {"type": ["string", "null"], "examples": [piece]} for name, piece in pieces.items()}
            return self.shared("DateParts", {"type": "object", "properties": said, "additionalProperties": False})
        if part.kind.name == "money":
            amount, currency = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
            made = {"type": "object", "properties": {"amount": amount, "currency": currency}}
            return self.shared("MoneyParts", {**made, "additionalProperties": False})
        if isinstance(part, Field) and part.target is not None:
            return {"type": "object", "description": "Where a field of the related record was asked for."}
        return {}

    # Bodies.

    def batch(self) -> dict[str, Any] | None:
        """A reference to the body of a batch: what each model's own operations take, in a list; nothing without any."""
        ways = [way for entity in self.view.schema.by_plural().values() for way in self._ways(entity)]
        if not ways:
            return None
        several = {"type": "array", "items": {"oneOf": ways}, "maxItems": self.limits.max_operations}
        whole = {
            "type": "object", "properties": {"operations": several}, "required": ["operations"],
            "additionalProperties": False,
        }  # fmt: skip
        return self.shared("Batch", {"oneOf": [whole, several]})

    def _ways(self, entity: Entity) -> Iterator[dict[str, Any]]:
        """The operations on one model that a batch can hold."""
        base = f"/api/{entity.plural}"
        one = {"type": "string", "pattern": f"^{base}/{_KEY if entity.existing is None else '[^/]+'}$"}
        create, update = self.view.access(entity, "create"), self.view.access(entity, "update")
        if create is not None:
            yield _way("POST", {"const": base}, self.create(entity, create))
        if (replaced := self.put(entity)) is not None:
            yield _way("PUT", one, replaced)
        if update is not None:
            yield _way("PATCH", one, self.update(entity, update))
        if self.view.access(entity, "delete") is not None:
            yield _way("DELETE", one, None)

    def create(self, entity: Entity, access: Access) -> dict[str, Any]:
        """A reference to the body that makes a record."""
        return self._create(f"{entity.name}Create", entity, access)

    def _create(self, base: str, entity: Entity, access: Access, without: str = "") -> dict[str, Any]:
        """The body of a new record; inside another it is sent without the relation that leads back there."""
        if (name := self.name(base)) in self.made:
            return self.ref(name)
        self.made[name] = {}  # relations may lead back here
        fields = [field for field in self._sent(entity, access) if field.name != without]
        body = self._body(fields, self._lists(entity, access))
        for field in fields:
            if field.target is not None and self._makes(field.target, access):
                made = self._create(f"{field.target.name}Create", field.target, access)
                schema = body["properties"][field.name]
                body["properties"][field.name] = {"anyOf": [schema, made], **_described("An id, or a new record.")}
        for part in entity.to_many.values():
            if self._nests(part, access):
                inside = f"{part.target.name}CreateIn{_camel(part.via)}"
                made = self._create(inside, part.target, access, part.via)
                said_of = "\n".join(text for text in (part.doc, "New records that are made with this one.") if text)
                several = {"type": "array", "items": made, "maxItems": self.limits.max_bulk - 1, "description": said_of}
                body["properties"][part.name] = several
        required = [field.name for field in fields if field.required]
        self.made[name] = {**body, "required": required} if required else body
        return self.ref(name)

    def _makes(self, entity: Entity, access: Access) -> bool:
        """Whether new records of an entity may be sent in an operation with this access."""
        needed = self.view.access(entity, "create")
        return not entity.hidden and needed is not None and (needed == "open" or access == "signed_in")

    def _nests(self, part: ToMany, access: Access) -> bool:
        """Whether new records may be sent under a relation to many."""
        open_ = part.through is None and self.view.sees(part) and self.view.allows(part.write, access)
        return open_ and self._makes(part.target, access) and self.view.sends(part.target.fields[part.via], access)

    def update(self, entity: Entity, access: Access) -> dict[str, Any]:
        """A reference to the body that changes a record: what is not named stays as it is."""
        body = self._body(self._sent(entity, access), self._lists(entity, access))
        return self.shared(f"{entity.name}Update", {**body, "minProperties": 1})

    def put(self, entity: Entity) -> dict[str, Any] | None:
        """A reference to the body of a PUT, where this standing may replace a record or create one under an id."""
        create, update = self.view.access(entity, "create"), self.view.access(entity, "update")
        if create is not None and entity.key.default is None:
            return self._keyed(entity, create)
        if create is not None and not filled_by_table(entity.key):
            return self.create(entity, create)
        readable = self.view.access(entity, "read") is not None
        return self._replace(entity, update) if update is not None and readable else None

    def _keyed(self, entity: Entity, access: Access) -> dict[str, Any]:
        """A reference to the body that makes a record whose id its maker chooses, and which stands in the address."""
        fields = [field for field in self._sent(entity, access) if field is not entity.key]
        body = self._body(fields, self._lists(entity, access))
        required = [field.name for field in fields if field.required]
        return self.shared(f"{entity.name}Put", {**body, "required": required} if required else body)

    def _replace(self, entity: Entity, access: Access | None) -> dict[str, Any]:
        fields = self._sent(entity, access or "open")
        body = self._body(fields, self._lists(entity, access or "open"))
        required = [field.name for field in fields if field.required]
        return self.shared(f"{entity.name}Replace", {**body, "required": required} if required else body)

    def created(self, entity: Entity) -> dict[str, Any]:
        """A reference to many new records."""
        several = {"type": "array", "items": self.shown(entity), "maxItems": self.limits.max_bulk}
        whole = {"type": "object", "properties": {"data": several}, "required": ["data"], "additionalProperties": False}
        return self.shared(f"{entity.name}Created", whole)

    def signup(self) -> dict[str, Any]:
        """A reference to the body that opens an account: what every new user may set of themselves."""
        newcomer = replace(self.view, signed_in=True, roles=frozenset(), everything=False)
        fields = [
            field for field in self.view.schema.user.fields.values()
            if newcomer.sends(field) and newcomer.fold(field.write) == ANYONE
        ]  # fmt: skip
        body = self._body(fields)
        email = json_schema(self.view.schema.user.fields["email"].kind)
        body["properties"] = {"email": email, "password": _PASSWORD, **body["properties"]}
        required = ["email", "password", *(field.name for field in fields if field.required)]
        return self.shared("Signup", {**body, "required": required})

    def adopt(self, schema: Any) -> Any:
        """A schema from elsewhere, with its `$defs` moved to where the schemas of the document are."""
        moved: dict[str, str] = {}
        if isinstance(schema, dict):
            for name, part in schema.get("$defs", {}).items():
                free = self.name(name)
                while free in self.made:
                    free += "_"
                moved[f"#/$defs/{name}"] = free
                self.made[free] = part
            for free in moved.values():
                self.made[free] = _moved(self.made[free], moved)
            inner = {key: self.adopt(part) for key, part in schema.items() if key != "$defs"}
            return _moved(inner, moved)
        return [self.adopt(part) for part in schema] if isinstance(schema, list) else schema

    def _sent(self, entity: Entity, access: Access) -> list[Field]:
        return [field for field in entity.fields.values() if self.view.sends(field, access)]

    def _lists(self, entity: Entity, access: Access) -> list[ToMany]:
        """The many-to-many relations that are written as lists of ids."""
        lists = (part for part in entity.to_many.values() if part.as_list)
        return [part for part in lists if self.view.sees(part) and self.view.allows(part.write, access)]

    def _body(self, fields: list[Field], lists: Sequence[ToMany] = ()) -> dict[str, Any]:
        properties: dict[str, Any] = {
            part.name: {
                "type": "array",
                "items": json_schema(plain(part.target.key.kind)),
                "maxItems": 200,
                "uniqueItems": True,
                **_described(part.doc),
            }
            for part in lists
        }
        for field in fields:
            schema = json_schema(field.kind, sent=True)
            schema = self._documented(field, nullable(schema) if field.nullable else schema)
            if field.default is not None and field.default.source == "literal" and _is_json(field.default.value):
                schema["default"] = field.default.value
            properties[field.name] = {**schema, "writeOnly": True} if field.write_only else schema
        return {"type": "object", "properties": properties, "additionalProperties": False}

    # Filters.

    def filter(self, entity: Entity, *, referred: bool = False) -> dict[str, Any]:
        """A reference to the object that `where` takes for the records of an entity.

        Of the one record that is `referred` to, words are not searched.
        """
        searched = bool(entity.search) and not referred
        name = self.name(f"{entity.name}Filter" if searched or not entity.search else f"Referred{entity.name}Filter")
        if name not in self.made:
            self.made[name] = {}
            own = self.ref(name)
            several = {"type": "array", "items": own}
            properties: dict[str, Any] = {"and": several, "or": several, "not": own}
            if searched:
                properties["search"] = {"type": "string", "maxLength": self.limits.max_needle, "pattern": CLEAN}
            for part in self.view.parts(entity):
                if isinstance(part, ToMany) or not part.kind.sealed:
                    properties[part.name] = self._filtered(part)
            self.made[name] = {
                "type": "object", "properties": properties, "additionalProperties": False,
                "description": f"Which {entity.plural}: a value means `eq`, several entries must all hold.",
            }  # fmt: skip
        return self.ref(name)

    def _filtered(self, part: Part) -> dict[str, Any]:
        if isinstance(part, ToMany):
            inner = self.filter(part.target) if self.view.opens(part.target) else {"type": "object"}
            kinds = {kind: inner for kind in ("some", "none", "every")}
            return {"type": "object", "properties": kinds, "additionalProperties": False, "minProperties": 1}
        test = self._test(part.kind)
        if isinstance(part, Field) and part.target is not None and self.view.opens(part.target):
            return {"anyOf": [test, {**self.filter(part.target, referred=True), "minProperties": 1}]}
        return test

    def _test(self, kind: Kind) -> dict[str, Any]:
        """The operators that apply to a kind, or a bare value that means `eq`."""
        value = self.value(kind)
        operators: dict[str, Any] = {}
        if kind.name == "money" and kind.currency:
            value = {"anyOf": [{**json_schema(INTEGER), "description": "Minor units."}, value]}
        if kind.name == "list":
            assert kind.item is not None
            operators["contains"] = self.value(kind.item)
        elif kind.name != "json":
            operators |= {"eq": nullable(value), "ne": nullable(value)}
            if kind.name != "boolean":
                operators |= dict.fromkeys(("lt", "lte", "gt", "gte"), value)
            if not (kind.name == "money" and not kind.currency):
                several = {"type": "array", "items": value, "maxItems": self.limits.max_in}
                operators |= {"in": several, "not_in": several}
            if kind.textual:
                operators |= dict.fromkeys(("contains", "icontains", "starts_with"), json_schema(TEXT))
        operators["is_null"] = {"type": "boolean"}
        test: dict[str, Any] = {
            "type": "object", "properties": operators, "additionalProperties": False, "minProperties": 1,
        }  # fmt: skip
        if "eq" in operators and not (kind.name == "money" and not kind.currency):
            bare = [json_schema(INTEGER)] if kind.name == "money" else value.get("anyOf", [value])
            test = {"anyOf": [*bare, {"type": "null"}, test]}
        if kind.name in ("enum", "list", "decimal"):
            return test  # each of its own
        return self.shared(f"{_camel(kind.name)}{kind.currency}Test", test)


def _way(method: str, path: dict[str, Any], sent: dict[str, Any] | None) -> dict[str, Any]:
    """One operation of a batch."""
    required = ["method", "path", *(["body"] if sent is not None else [])]
    return {
        "type": "object", "properties": {"method": {"const": method}, "path": path, "body": sent or {"type": "null"}},
        "required": required, "additionalProperties": False,
    }  # fmt: skip


def said(entity: Entity) -> str:
    """What the model says of itself."""
    return "A person who can sign in." if entity.model is User else inspect.cleandoc(entity.doc)


def _moved(schema: Any, moved: dict[str, str]) -> Any:
    if isinstance(schema, dict):
        return {
            key: f"#/components/schemas/{moved[part]}" if key == "$ref" and part in moved else _moved(part, moved)
            for key, part in schema.items()
        }
    return [_moved(part, moved) for part in schema] if isinstance(schema, list) else schema


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _described(text: str) -> dict[str, Any]:
    return {"description": text} if text else {}


def _is_json(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, list, dict))
