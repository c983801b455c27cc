"""Models written from the tables of an existing database: a draft for its owner to read, with what is to be decided.

Invariant: what is written is Python that loads. No rule is invented: nobody may do anything until somebody says who.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backstay.model.declare import plural_of
from backstay.store.reflect import Column, Link, Table

_OWN = ("id", "created_at", "updated_at")
_SECRET = re.compile(r"pass(word|wd|phrase)|secret|token|hash|salt")
_ACCOUNT = ("email", "name", "roles", "disabled")
_UNDECIDED = "    # No rules yet, so nobody may do anything. Say who may:\n    # def rules(self, me: User) -> Rules:\n"
_UNDECIDED += "    #     return Rules(read=..., create=..., update=..., delete=...)\n"
_OF_ACCOUNTS = "    # The rules of accounts hold until you write others: everybody sees and names only themselves.\n"


@dataclass(slots=True)
class Draft:
    """The text so far, and the names that it needs."""

    names: set[str] = field(default_factory=lambda: {"App"})
    values: set[str] = field(default_factory=set)
    classes: list[str] = field(default_factory=list)


def draft_of(tables: Sequence[Table], name: str) -> str:
    """The file of an application whose models are those of the tables."""
    draft = Draft()
    called = _class_names(tables)
    for table in tables:
        draft.classes.append(_class(table, called, draft))
    models = ", ".join(called.values())
    lines = ['"""Models drafted from an existing database. Read them, and say who may do what."""', ""]
    lines += ["from __future__ import annotations", ""]
    for module, names in (
        ("datetime", {"date", "datetime", "time", "timedelta"}), ("decimal", {"Decimal"}),
        ("typing", {"Annotated", "Literal"}), ("uuid", {"UUID"}),
    ):  # fmt: skip
        if some := sorted(names & draft.values):
            lines.append(f"from {module} import {', '.join(some)}")
    if "Len" in draft.values:
        lines += ["", "from annotated_types import Len"]
    shown = sorted(draft.names, key=lambda one: (not one[0].isupper(), one))
    lines += ["", f"from backstay import {', '.join(shown)}", "", ""]
    lines += ["\n\n".join(draft.classes), ""]
    lines.append(f'app = App("{name}", models=[{models}])')
    return "\n".join(lines) + "\n"


def _class_names(tables: Sequence[Table]) -> dict[str, str]:
    """The name of the class of each table."""
    called: dict[str, str] = {}
    for table in tables:
        words = re.findall(r"[A-Za-z0-9]+", table.name)
        words = [*words[:-1], _singular(words[-1])] if words else ["Thing"]
        name = "".join(word[:1].upper() + word[1:] for word in words)
        name = f"T{name}" if name[0].isdigit() else name
        name = "Member" if name == "User" else f"{name}Record" if name in ("Model", "App", "Rules", "Index") else name
        while name in called.values() or keyword.iskeyword(name):
            name += "Record"
        called[table.name] = name
    return called


def _singular(word: str) -> str:
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("s", "")):
        if word.lower().endswith(ending) and not word.lower().endswith("ss") and len(word) > len(ending) + 1:
            return word[: -len(ending)] + instead
    return word


def _class(table: Table, called: Mapping[str, str], draft: Draft) -> str:
    name = called[table.name]
    account = name == "Member" and any(column.name == "email" for column in table.columns)
    draft.names |= {"User"} if account else {"Model"}
    lines = [f"class {name}({'User' if account else 'Model'}):"]
    lines.append(f'    """{_prose(table.comment) or f"A row of the table {_prose(table.name)}."}"""')
    lines.append("")
    if not account and plural_of(name) != table.name and re.fullmatch(r"[a-z][a-z0-9_]*", table.name):
        lines += [f'    __plural__ = "{table.name}"', ""]
    known: dict[str, str] = {}
    body: list[str] = []
    for column in table.columns:
        body += _field(column, table, called, known, draft, account)
    lines += body or ["    pass"]
    lines += _indexes(table, known, draft)
    return "\n".join(lines) + "\n\n" + (_OF_ACCOUNTS if account else _UNDECIDED)


def _field(
    column: Column, table: Table, called: Mapping[str, str], known: dict[str, str], draft: Draft, account: bool
) -> list[str]:  # fmt: skip
    said = f"  # {_prose(column.comment)}" if column.comment else ""
    if account and (column.name in _ACCOUNT or _SECRET.search(column.name)):
        known[column.name] = column.name
        kept = "is a part of every account" if column.name in _ACCOUNT else "is left out: accounts keep their own"
        return [f"    # {_prose(column.name)} {kept}"]
    if column.name in _OWN:
        if column.name == "id" and "uuid" not in column.type and not _is_ours(column):
            return [f"    # the id was {_prose(column.type)}; records get ids of their own (UUID)"]
        known[column.name] = column.name
        return []
    link = next((one for one in table.links if one.columns == (column.name,) and one.table in called), None)
    name = _name(column.name, link, known)
    known[column.name] = name
    renamed = "" if name in (column.name, column.name.removesuffix("_id")) else f"  # the column {_prose(column.name)}"
    kind = _link(link, called, draft) if link else _kind(column, draft)
    if kind is None:
        return [f"    # {_prose(column.name)}: {_prose(column.type)} has no counterpart here"]
    optional = " | None = None" if column.nullable else _default(column, kind)
    return [f"    {name}: {kind}{optional}{said}{renamed}"]


def _is_ours(column: Column) -> bool:
    return column.type == "text"  # Backstay's own ids on SQLite


def _name(column: str, link: Link | None, known: Mapping[str, str]) -> str:
    name = column.removesuffix("_id") if link is not None and len(column) > 3 else column
    name = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "value"
    name = f"f_{name}" if name[0].isdigit() else name
    taken = {"rules", "indexes", "has_role", "signed_in", *known.values()}
    while name in taken or keyword.iskeyword(name):
        name += "_value"
    return name


def _link(link: Link, called: Mapping[str, str], draft: Draft) -> str:
    target = called[link.table]
    if link.on_delete == "restrict":
        return target
    draft.names.add("on_delete")
    draft.values.add("Annotated")
    return f'Annotated[{target}, on_delete("{link.on_delete}")]'


_KINDS: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (r"bigint|int8|bigserial", "BigInt", ("BigInt",), ()),
    (r"timestamp.*|datetime", "datetime", (), ("datetime",)),
    (r"interval", "timedelta", (), ("timedelta",)),
    (r".*int.*|.*serial", "int", (), ()),
    (r"bool.*", "bool", (), ()),
    (r"real|double.*|float.*", "float", (), ()),
    (r"date", "date", (), ("date",)),
    (r"time( .*|\(.*|tz)?", "time", (), ("time",)),
    (r"uuid", "UUID", (), ("UUID",)),
    (r"jsonb?", "Json", ("Json",), ()),
    (r"(text|character varying|varchar)\[\]", "list[str]", (), ()),
    (r"(integer|bigint|smallint)\[\]", "list[int]", (), ()),
    (r"text|character varying|varchar|clob|citext|name", "str", (), ()),
)  # fmt: skip


def _kind(column: Column, draft: Draft) -> str | None:
    """The annotation of a column; nothing where there is none."""
    if column.labels:
        draft.values.add("Literal")
        return f"Literal[{', '.join(_literal(label) for label in column.labels)}]"
    if sized := re.fullmatch(r"(?:character varying|varchar|character|char|nvarchar)\((\d+)\)", column.type):
        draft.values |= {"Annotated", "Len"}
        return f"Annotated[str, Len(0, {sized[1]})]"
    if number := re.fullmatch(r"(?:numeric|decimal)(?:\((\d+)(?:, ?(\d+))?\))?", column.type):
        total, scale = min(int(number[1] or 18), 18), int(number[2] or (0 if number[1] else 4))
        draft.values |= {"Annotated", "Decimal"}
        draft.names.add("Digits")
        return f"Annotated[Decimal, Digits({total}, {min(scale, total)})]"
    for pattern, kind, names, values in _KINDS:
        if re.fullmatch(pattern, column.type):
            draft.names |= {*names}
            draft.values |= {*values}
            return kind
    return None


def _default(column: Column, kind: str) -> str:
    """The default of a column, where it is a plain value."""
    text = re.sub(r"::[a-z0-9_ ]+(\(\d+\))?(\[\])?$", "", column.default.strip())
    if not text:
        return ""
    if kind == "bool" and text.lower() in ("true", "false", "1", "0"):
        return f" = {text.lower() in ('true', '1')}"
    if kind in ("int", "BigInt", "float") and re.fullmatch(r"'?-?\d+(\.\d+)?'?", text):
        return f" = {text.strip(chr(39))}"
    quoted = re.fullmatch(r"'((?:[^']|'')*)'", text)
    if quoted and (kind == "str" or kind.startswith(("Annotated[str", "Literal"))):
        value = quoted[1].replace("''", "'")
        return f" = {_literal(value)}"
    return f"  # its default was {_prose(column.default)}"


def _indexes(table: Table, known: Mapping[str, str], draft: Draft) -> list[str]:
    uniques = [some for some in table.uniques if all(name in known for name in some) and some != ("id",)]
    if len(table.key) > 1 and all(name in known for name in table.key):
        uniques.insert(0, table.key)
    linked = {link.columns for link in table.links}  # relations have an index as they are
    bare = [some[:-1] if some[-1] == "id" else some for some in table.indexes]
    plain = [some for some in bare if some and some not in linked and all(name in known for name in some)]
    calls = [*(f"unique({_selves(some, known)})" for some in dict.fromkeys(uniques))]
    calls += [f"index({_selves(some, known)})" for some in dict.fromkeys(plain)]
    if not calls:
        return []
    draft.names |= {"Index", *(call.partition("(")[0] for call in calls)}
    return ["", "    def indexes(self) -> list[Index]:", f"        return [{', '.join(calls)}]"]


def _selves(names: Sequence[str], known: Mapping[str, str]) -> str:
    return ", ".join(f"self.{known[name]}" for name in names)


def _literal(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _prose(text: str) -> str:
    """A comment of the database on one line, as it can stand in a Python file."""
    return " ".join(text.replace("\\", "/").replace('"""', "'''").split()).rstrip('"')[:200]
