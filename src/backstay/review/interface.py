"""What a change changes for clients, found in the OpenAPI documents before and after.

Invariant: a change is `breaking` where a request that was right may be refused now, or an answer may hold what could
not be in it before; everything else that differs is `compatible`. Whatever is not understood is breaking.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Effect: TypeAlias = Literal["breaking", "compatible"]
Way: TypeAlias = Literal["request", "answer"]
JSON: TypeAlias = Mapping[str, Any]

_METHODS = ("get", "put", "post", "delete", "patch")
_SCHEMAS = "#/components/schemas/"
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_COMPARED = ("pattern", "format", "multipleOf", "uniqueItems", "additionalProperties", "propertyNames")


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs, where it does, and what that does to clients."""

    places: tuple[str, ...]
    words: str
    effect: Effect


def changes(before: JSON, after: JSON) -> list[Change]:
    """Everything that differs for clients, what is said of several places once; breaking changes first."""
    found: dict[tuple[str, Effect], list[str]] = {}
    for place, words, effect in _Comparison(before, after).found():
        places = found.setdefault((words, effect), [])
        if place not in places:
            places.append(place)
    every = [Change(tuple(places), words, effect) for (words, effect), places in found.items()]
    return sorted(every, key=lambda change: change.effect != "breaking")


Found: TypeAlias = Iterator[tuple[str, str, Effect]]


class _Comparison:
    def __init__(self, before: JSON, after: JSON) -> None:
        self.before, self.after = before, after

    def found(self) -> Found:
        old, new = _operations(self.before), _operations(self.after)
        for name in old:
            if name not in new:
                yield name, "is gone.", "breaking"
        for name in new:
            if name not in old:
                yield name, "is new.", "compatible"
            else:
                yield from self._operation(name, old[name], new[name])
        for way, name in sorted(self._named(self.before) & self._named(self.after)):
            was, now = (one["components"]["schemas"].get(name, {}) for one in (self.before, self.after))
            yield from self._schema(f"{name} ({way})", "", was, now, way)

    def _operation(self, name: str, old: JSON, new: JSON) -> Found:
        open_before, open_now = ({} in one.get("security", [{}]) for one in (old, new))
        if open_before and not open_now:
            yield name, "needs somebody signed in now.", "breaking"
        elif open_now and not open_before:
            yield name, "needs nobody signed in any more.", "compatible"
        yield from self._parameters(name, _parameters(self.before, old), _parameters(self.after, new))
        yield from self._bodies(name, old.get("requestBody"), new.get("requestBody"))
        was, now = _answers(old), _answers(new)
        for status in was.keys() - now.keys():
            yield name, f"does not answer {status} any more.", "breaking"
        for status in now.keys() - was.keys():
            yield name, f"may answer {status}.", "breaking"
        for status in was.keys() & now.keys():
            yield from self._contents(f"{name} (answer {status})", was[status], now[status], "answer")

    def _parameters(self, name: str, old: Mapping[str, JSON], new: Mapping[str, JSON]) -> Found:
        if gone := [one for one in old if one not in new]:
            yield name, f"{_list(gone)} may not be sent any more.", "breaking"
        added = [one for one in new if one not in old]
        if wanted := [one for one in added if new[one].get("required")]:
            yield name, f"{_list(wanted)} must be sent.", "breaking"
        if offered := [one for one in added if not new[one].get("required")]:
            yield name, f"{_list(offered)} may be sent.", "compatible"
        for one in (one for one in new if one in old):
            was, now = old[one], new[one]
            if bool(was.get("required")) != bool(now.get("required")):
                must = bool(now.get("required"))
                yield name, f"{one} {'must' if must else 'need not'} be sent.", "breaking" if must else "compatible"
            yield from self._schema(name, one, was.get("schema", {}), now.get("schema", {}), "request")
            yield from self._contents(name, was, now, "request")

    def _bodies(self, name: str, old: JSON | None, new: JSON | None) -> Found:
        if old is None and new is None:
            return
        if old is None or new is None:
            must = new is not None and bool(new.get("required"))
            words = "takes a body." if new is not None else "takes no body any more."
            yield name, words, "breaking" if must or new is None else "compatible"
            return
        if bool(old.get("required")) != bool(new.get("required")):
            must = bool(new.get("required"))
            yield name, f"a body {'must' if must else 'need not'} be sent.", "breaking" if must else "compatible"
        yield from self._contents(f"{name} (request)", old, new, "request")

    def _contents(self, place: str, old: JSON, new: JSON, way: Way) -> Found:
        was, now = old.get("content", {}), new.get("content", {})
        for kind in was.keys() - now.keys():
            yield place, f"{kind} is not spoken any more.", "breaking"
        for kind in now.keys() - was.keys():
            yield place, f"{kind} is spoken.", "compatible" if way == "request" else "breaking"
        for kind in was.keys() & now.keys():
            yield from self._schema(place, "", was[kind].get("schema", {}), now[kind].get("schema", {}), way)

    def _schema(self, place: str, at: str, old: Any, new: Any, way: Way) -> Found:
        """What differs between two schemas at a path inside; those with a name are compared by themselves."""
        if _plain(old) == _plain(new):
            return
        if not isinstance(old, Mapping) or not isinstance(new, Mapping) or "$ref" in old or "$ref" in new:
            yield place, f"{_said(at)}holds {_kind(new)}, and held {_kind(old)}.", "breaking"
            return
        yield from self._properties(place, at, old, new, way)
        yield from _values(place, at, old, new, way)
        for key in ("items", "additionalItems"):
            if key in old and key in new:
                yield from self._schema(place, f"{at}[]", old[key], new[key], way)
            elif key in old or key in new:
                yield place, f"{_said(at)}has entries of another kind.", _wider(way, key in old)
        for key in ("anyOf", "oneOf", "allOf"):
            yield from self._options(place, at, old.get(key, []), new.get(key, []), way, key)

    def _properties(self, place: str, at: str, old: JSON, new: JSON, way: Way) -> Found:
        was, now = old.get("properties", {}), new.get("properties", {})
        must, musts = set(old.get("required", ())), set(new.get("required", ()))
        for name in was:
            if name not in now:
                yield place, f"{_path(at, name)} is gone.", "breaking"
        for name in now:
            if name not in was:
                wanted = way == "request" and name in musts
                words = "is new and must be sent." if wanted else "is new."
                yield place, f"{_path(at, name)} {words}", "breaking" if wanted else "compatible"
            else:
                yield from self._schema(place, _path(at, name), was[name], now[name], way)
        gone, fresh = was.keys() - now.keys(), now.keys() - was.keys()
        for name in sorted((must ^ musts) - gone - fresh):
            if not was and not now and way == "answer" and name in musts:
                continue  # a field that is new in the schema this one is made of, which says so
            if way == "request":
                words = "must be sent." if name in musts else "need not be sent."
            else:
                words = "is always there." if name in musts else "may be absent."
            breaking = (name in musts) == (way == "request")
            yield place, f"{_path(at, name)} {words}", "breaking" if breaking else "compatible"

    def _options(self, place: str, at: str, old: Sequence[Any], new: Sequence[Any], way: Way, key: str) -> Found:
        was, now = {_plain(one): one for one in old}, {_plain(one): one for one in new}
        gone, added = [was[one] for one in was if one not in now], [now[one] for one in now if one not in was]
        for one in [one for one in gone if _alone(one, gone) and _alone(one, added)]:
            other = next(other for other in added if _types(other) == _types(one))
            gone.remove(one)
            added.remove(other)
            yield from self._schema(place, at, one, other, way)
        for one in gone:
            yield place, f"{_said(at)}may not be {_kind(one)} any more.", _wider(way, key == "allOf")
        for one in added:
            yield place, f"{_said(at)}may be {_kind(one)}.", _wider(way, key != "allOf")

    def _named(self, document: JSON) -> set[tuple[Way, str]]:
        """Every schema with a name, by which way it goes."""
        found: set[tuple[Way, str]] = set()

        def look(node: Any, way: Way) -> None:
            if isinstance(node, Mapping):
                name = str(node.get("$ref", "")).removeprefix(_SCHEMAS)
                if "$ref" in node and str(node["$ref"]).startswith(_SCHEMAS) and (way, name) not in found:
                    found.add((way, name))
                    look(document["components"]["schemas"].get(name, {}), way)
                for part in node.values():
                    look(part, way)
            elif isinstance(node, list):
                for part in node:
                    look(part, way)

        for operation in _operations(document).values():
            look(list(_parameters(document, operation).values()), "request")
            look(operation.get("requestBody", {}), "request")
            look(_answers(operation), "answer")
        return found


def _values(place: str, at: str, old: JSON, new: JSON, way: Way) -> Found:
    """Which values there may be."""
    was, now = _types(old), _types(new)
    for kind in sorted(was - now):
        yield place, f"{_said(at)}may not be {kind} any more.", _wider(way, False)
    for kind in sorted(now - was):
        yield place, f"{_said(at)}may be {kind}.", _wider(way, True)
    few, many = _choices(old), _choices(new)
    if few is not None and many is not None:
        if gone := [str(one) for one in few if one not in many]:
            yield place, f"{_said(at)}is not {_list(gone)} any more.", _wider(way, False)
        if added := [str(one) for one in many if one not in few]:
            yield place, f"{_said(at)}may be {_list(added)}.", _wider(way, True)
    elif few is not None or many is not None:
        words = "may have any value." if many is None else "has a choice of values."
        yield place, f"{_said(at)}{words}", _wider(way, many is None)
    for keys, sign in ((_LEAST, 1), (_MOST, -1)):
        for key in keys:
            if old.get(key) == new.get(key):
                continue
            wider = new.get(key) is None or (old.get(key) is not None and sign * (old[key] - new[key]) > 0)
            words = f"has {key} {new.get(key, 'no more')}, and had {old.get(key, 'none')}."
            yield place, f"{_said(at)}{words}", _wider(way, wider)
    for key in _COMPARED:
        if _plain(old.get(key)) != _plain(new.get(key)):
            loosened = key not in new
            tightened = key not in old
            effect: Effect = _wider(way, loosened) if loosened or tightened else "breaking"
            yield place, f"{_said(at)}has {key} {_short(new.get(key))}, and had {_short(old.get(key))}.", effect


def _wider(way: Way, wider: bool) -> Effect:
    """What it does where more may be sent, or less; and the other way about in answers."""
    return "compatible" if wider == (way == "request") else "breaking"


def _operations(document: JSON) -> dict[str, JSON]:
    return {
        f"{method.upper()} {path}": found[method]
        for path, found in document["paths"].items()
        for method in _METHODS
        if method in found
    }


def _parameters(document: JSON, operation: JSON) -> dict[str, JSON]:
    found = {}
    for one in operation.get("parameters", []):
        if "$ref" in one:
            one = document["components"]["parameters"][one["$ref"].rpartition("/")[2]]
        found[f"{'header ' if one['in'] == 'header' else ''}{one['name']}"] = one
    return found


def _answers(operation: JSON) -> dict[str, JSON]:
    """The answers to what went well, or of a form of its own; problems are the same everywhere."""
    return {
        status: one for status, one in operation.get("responses", {}).items() if status[0] in "2d" and "$ref" not in one
    }


def _alone(schema: JSON, among: Sequence[JSON]) -> bool:
    """Whether one of these holds values of the same types, so that it must be what this one has become."""
    return sum(_types(one) == _types(schema) for one in among) == 1


def _types(schema: JSON) -> set[str]:
    found = schema.get("type", [])
    return {found} if isinstance(found, str) else set(found)


def _choices(schema: JSON) -> list[Any] | None:
    found = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return list(found) if found is not None else None


def _plain(schema: Any) -> str:
    """A schema without what says nothing about values."""
    return json.dumps(_stripped(schema), sort_keys=True)


def _stripped(node: Any, *, names: bool = False) -> Any:
    if isinstance(node, Mapping):
        told = () if names else ("description", "example", "examples", "title", "default")
        return {key: _stripped(part, names=key == "properties") for key, part in node.items() if key not in told}
    if isinstance(node, list):
        return [_stripped(part) for part in node]
    return node


def _kind(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return _short(schema)
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    return " or ".join(sorted(_types(schema))) or _short(_stripped(schema))


def _short(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _path(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _said(at: str) -> str:
    return f"{at} " if at else ""


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
