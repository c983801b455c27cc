"""What leads from one declaration to another: steps in words, and what is done to each table.

Invariant: nothing is guessed. A field or a model was renamed where the declaration says so (`was`); everything else
that has another name is new, and what it had before is set aside, not thrown away. What would lose or refuse values of
records that are there is asked of the database before anything is changed (`Question`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import sqlalchemy as sa

from backstay.model.field import Entity, Field, Schema
from backstay.model.value import Kind
from backstay.store.conversion import conversion
from backstay.store.dialect import literal, quoted
from backstay.store.snapshot import Snapshot
from backstay.store.tables import fill_of, sequences, tables

Effect = Literal["none", "safe", "locks", "loses"]
"""What a step does: nothing to the database, nothing to anybody, hold up writers for a while, set values aside."""
ASIDE = "_was_"


@dataclass(frozen=True, slots=True)
class Question:
    """What must be known of the records that are there: how many a condition holds for, and which they are.

    It is asked `before` anything is done, and `after` data functions have run: a table and a condition each. `refuses`
    says what is wrong where there are any afterwards; without it the number is only told.
    """

    before: tuple[str, str]
    after: tuple[str, str] | None = None
    refuses: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, in words, and what it does to the records that are there."""

    words: str
    effect: Effect = "safe"
    question: Question | None = None


@dataclass(slots=True)
class TableChange:
    """What is done to one table: renamed, columns set aside, renamed, added and filled; then it is made strict.

    `fills` are values over the columns as they are then, set-aside ones under their new names.
    """

    old: sa.Table | None
    new: sa.Table | None
    entity: Entity | None = None
    aside: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    restored: list[tuple[str, str]] = field(default_factory=list)
    """Columns that come back from aside: the name there, and the name here."""
    restored_table: str = ""
    """The table that comes back from aside whole."""
    fills: list[tuple[str, str]] = field(default_factory=list)
    folded: list[Field] = field(default_factory=list)
    """Fields whose folded text has to be made for the records that are there."""
    words: bool = False
    """Whether the search words of the records that are there have to be made."""

    @property
    def name(self) -> str:
        """The table as it is called in the end, or was."""
        table = self.new if self.new is not None else self.old
        assert table is not None
        return str(table.name)


@dataclass(frozen=True, slots=True)
class Course:
    """Everything that leads from one declaration to another, for one database."""

    steps: tuple[Step, ...]
    changes: tuple[TableChange, ...]
    sequences: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether the database stays as it is."""
        return not self.changes and not self.sequences


def aside_name(number: int, name: str) -> str:
    """What a column or table is called that the migration with this number has set aside."""
    return f"{ASIDE}{number}_{name}"


def course(before: Snapshot, after: Snapshot, dialect: str, number: int) -> Course:
    """The way from one declaration to another; what it sets aside is named after its number."""
    return _Way(before.schema, after.schema, dialect, number).course(before, after)


class _Way:
    def __init__(self, old: Schema, new: Schema, dialect: str, number: int) -> None:
        self.old, self.new, self.dialect, self.number = old, new, dialect, number
        self.old_tables, self.new_tables = tables(old, dialect).tables, tables(new, dialect).tables
        self.steps: list[Step] = []

    def course(self, before: Snapshot, after: Snapshot) -> Course:
        former = self._former()
        changes = []
        for entity in self.new.entities.values():
            known = former.get(entity.name)
            if known is None:
                changes.append(self._new_table(entity))
            elif change := self._changed(known, entity):
                changes.append(change)
        going_on = {entity.name for entity in former.values()}
        changes += [self._gone(entity) for name, entity in self.old.entities.items() if name not in going_on]
        for name in sorted({*before.rules, *after.rules}):
            was, now = before.rules.get(name), after.rules.get(name)
            if was != now and was is not None and now is not None:
                self.steps.append(
                    Step(f"The rule {name} was: {was}. It is now: {now}. Nothing is done to the database.")
                )
        drawn = tuple(name for name in sequences(self.new) if name not in sequences(self.old))
        return Course(tuple(self.steps), tuple(changes), drawn)

    def _former(self) -> dict[str, Entity]:
        """The entity that each of the new ones was, by its name now."""
        known = {name: self.old.entities[name] for name in self.new.entities if name in self.old.entities}
        taken = {*known}
        for entity in self.new.entities.values():
            was = entity.was or next((old.name for old in self.old.entities.values() if old.was == entity.name), "")
            if was and entity.name not in known and was in self.old.entities and was not in taken:
                known[entity.name] = self.old.entities[was]  # or, on the way back, what will be called so
        for entity in self.new.entities.values():  # what joins a renamed model is named after it
            joined = self._joined_before(entity, known) if entity.made and entity.name not in known else None
            if joined is not None:
                known[entity.name] = joined
        return known

    def _joined_before(self, entity: Entity, known: dict[str, Entity]) -> Entity | None:
        ends = {known.get(f.target.name) for f in entity.fields.values() if f.target is not None}
        free = [old for old in self.old.entities.values() if old.made and old not in known.values()]
        same = [old for old in free if {f.target for f in old.fields.values() if f.target is not None} == ends]
        return same[0] if len(same) == 1 else None

    # Tables.

    def _new_table(self, entity: Entity) -> TableChange:
        self.steps.append(Step(f"{_said(entity)} is new: its table {entity.table} is made."))
        return TableChange(None, self.new_tables[entity.table], entity)

    def _gone(self, entity: Entity) -> TableChange:
        aside = aside_name(self.number, entity.table)
        self.steps.append(
            Step(
                f"{_said(entity)} is gone: its table {entity.table} is set aside as {aside}, until `migrate finish`.",
                "loses", Question((entity.table, "1 = 1")),
            )
        )  # fmt: skip
        return TableChange(self.old_tables[entity.table], None, entity)

    def _changed(self, old: Entity, new: Entity) -> TableChange | None:
        change = TableChange(self.old_tables[old.table], self.new_tables[new.table], new)
        if old.table != new.table:
            self.steps.append(
                Step(f"{old.name} is called {new.name}: its table {old.table} becomes {new.table}.", "locks")
            )
        self._fields(old, new, change)
        self._search(old, new, change)
        self._indexes(old, new)
        return change if self._differs(change) else None

    def _differs(self, change: TableChange) -> bool:
        assert change.old is not None and change.new is not None
        moved = (change.aside, change.renamed, change.added, change.fills, change.folded, change.words)
        return any(moved) or _form(change.old, self.dialect) != _form(change.new, self.dialect)

    # Fields.

    def _fields(self, old: Entity, new: Entity, change: TableChange) -> None:
        former = {name: old.fields[name] for name in new.fields if name in old.fields}
        for name, part in new.fields.items():
            before = part.was or next((other.name for other in old.fields.values() if other.was == name), "")
            if before and name not in former and before in old.fields and before not in new.fields:
                former[name] = old.fields[before]
        going_on = {part.name for part in former.values()}
        for name, part in old.fields.items():
            if name not in going_on:
                change.aside += [*part.columns, *([part.folded] if part.folded else [])]
                self.steps.append(
                    Step(
                        f"{new.name}.{name} is gone: its values are set aside until `migrate finish`.", "loses",
                        Question((old.table, f"{quoted(part.column)} IS NOT NULL")),
                    )
                )  # fmt: skip
        for name, part in new.fields.items():
            if name in former:
                self._field(old, new, former[name], part, change)
            else:
                self._new_field(old, new, part, change)

    def _new_field(self, old: Entity, new: Entity, part: Field, change: TableChange) -> None:
        words = f"{new.name}.{part.name} is new: {describe_field(part)}"
        change.added += [*part.columns, *([part.folded] if part.folded else [])]
        fills = fill_of(part, self.dialect)
        if fills is not None:
            change.fills += fills
            self.steps.append(
                Step(f"{words}; records that are there get its default.", question=Question((old.table, "1 = 1")))
            )
        elif part.nullable:
            self.steps.append(Step(f"{words}; it is empty in records that are there."))
        else:
            self.steps.append(
                Step(
                    f"{words}; nothing says what records that are there get.",
                    question=Question(
                        (old.table, "1 = 1"), (new.table, f"{quoted(part.column)} IS NULL"),
                        f"have no value for {new.name}.{part.name}",
                        "Let it be null (| None): no migration can encrypt." if part.kind.sealed
                        else "Give it a default, let it be null (| None), or fill it in a data function.",
                    ),
                )
            )  # fmt: skip

    def _field(self, old: Entity, new: Entity, was: Field, now: Field, change: TableChange) -> None:
        name = f"{new.name}.{now.name}"
        if was.name != now.name:
            self.steps.append(Step(f"{new.name}.{was.name} is called {now.name}.", "locks"))
        was_target = was.target.name if was.target is not None else ""
        now_target = now.target.name if now.target is not None else ""
        former = self._former()
        same_target = not (was_target or now_target) or (now_target in former and former[now_target].name == was_target)
        expr = conversion(was.kind, now.kind, self.dialect) if same_target else None
        if expr == "" and len(was.columns) == len(now.columns):
            change.renamed += [(a, b) for a, b in zip(was.columns, now.columns, strict=True) if a != b]
        else:
            self._converted(old, new, was, now, change, expr)
        self._folding(was, now, change, moved=expr != "")
        if was.kind.sealed and now.kind.sealed and was.label != now.label:
            self.steps.append(
                Step(
                    f"{name} is sealed as {now.label} now.", "none",
                    Question(
                        (old.table, f"{quoted(was.column)} IS NOT NULL"),
                        (new.table, f"{quoted(now.column)} IS NOT NULL"), f"hold what was sealed as {was.label}",
                        f'Write SealedAs("{was.label}") beside it: encrypted values open under that name only.',
                    ),
                )
            )  # fmt: skip
        if was.nullable and not now.nullable:
            self._never_null(old, new, was, now, change)
        elif now.nullable and not was.nullable:
            self.steps.append(Step(f"{name} may be null now."))
        if expr is not None:
            self._narrower(old, new, was, now, expr)
        if now.target is not None and was.target is not None and was.on_delete != now.on_delete:
            self.steps.append(Step(f"{name}: on_delete is {now.on_delete} now.", "locks"))
        if was.default != now.default:
            self.steps.append(Step(f"{name} has another default; records that are there keep what they have.", "none"))

    def _converted(
        self, old: Entity, new: Entity, was: Field, now: Field, change: TableChange, expr: str | None
    ) -> None:
        """A field of another kind: a new column with what the old one becomes; the old one is set aside."""
        name, from_, to = f"{new.name}.{now.name}", describe_kind(was), describe_kind(now)
        change.aside += was.columns
        change.added += now.columns
        aside = [quoted(aside_name(self.number, column)) for column in was.columns]
        if expr is None:
            self.steps.append(
                Step(
                    f"{name} was {from_} and is {to}: nothing leads from one to the other by itself. What it was is "
                    "set aside until `migrate finish`.", "loses",
                    None if now.nullable else Question(
                        (old.table, "1 = 1"), (new.table, f"{quoted(now.column)} IS NULL"), f"have no value for {name}",
                        f"Fill it in a data function from {aside_name(self.number, was.column)}.",
                    ),
                )
            )  # fmt: skip
            return
        change.fills.append((now.column, expr.replace("{}", aside[0]) if expr else aside[0]))
        if len(now.columns) > 1:
            currency = aside[1] if len(aside) > 1 else literal(was.kind.currency)
            change.fills.append((now.columns[1], currency))
        self.steps.append(
            Step(f"{name} was {from_} and is {to}: its values are converted, and kept aside as they were until "
                 "`migrate finish`.", "locks", Question((old.table, "1 = 1")))
        )  # fmt: skip
        if len(aside) > 1 and len(now.columns) == 1:
            wrong = f"{quoted(was.columns[1])} <> {literal(now.kind.currency)}"
            kept = f"{aside[1]} <> {literal(now.kind.currency)} AND {quoted(now.column)} IS NOT NULL"
            self.steps[-1] = replace(self.steps[-1], question=Question(
                (old.table, wrong), (new.table, kept), f"have another currency than {now.kind.currency}",
                "Convert them in a data function.",
            ))  # fmt: skip

    def _folding(self, was: Field, now: Field, change: TableChange, *, moved: bool) -> None:
        if was.folded and (not now.folded or moved):
            change.aside.append(was.folded)
        if now.folded and (not was.folded or moved):
            change.added.append(now.folded)
            change.folded.append(now)
        elif now.folded and was.folded and was.folded != now.folded:
            change.renamed.append((was.folded, now.folded))

    def _never_null(self, old: Entity, new: Entity, was: Field, now: Field, change: TableChange) -> None:
        name = f"{new.name}.{now.name}"
        fills = fill_of(now, self.dialect)
        before, after = (old.table, f"{quoted(was.column)} IS NULL"), (new.table, f"{quoted(now.column)} IS NULL")
        if fills is not None:
            change.fills += [(column, f"coalesce({quoted(column)}, {value})") for column, value in fills]
            self.steps.append(
                Step(f"{name} may not be null any more; where it is, it gets its default.", "locks",
                     Question(before))
            )  # fmt: skip
        else:
            self.steps.append(
                Step(f"{name} may not be null any more.", "locks", Question(
                    before, after, f"have no value for {name}",
                    "Give it a default, or fill it in a data function."))
            )  # fmt: skip

    def _narrower(self, old: Entity, new: Entity, was: Field, now: Field, expr: str) -> None:
        """Constraints that records may not satisfy which are there."""
        table = self.new_tables[new.table]
        known = {_words(check.sqltext, now, was) for check in _checks(self.old_tables, was, self.old)}
        for check in _checks(self.new_tables, now, self.new):
            text = str(check.sqltext.text).replace("\\:", ":")
            if text in known:
                continue
            value = f"({expr.replace('{}', quoted(was.column))})" if expr else quoted(was.column)
            before = (old.table, f"NOT ({text.replace(quoted(now.column), value)})")
            self.steps.append(
                Step(f"{table.name}: {text} must hold now.", "locks", Question(
                    before, (new.table, f"NOT ({text})"), f"do not satisfy {text}",
                    f"Correct {new.name}.{now.name} in a data function, or allow them."))
            )  # fmt: skip

    # Indexes and search.

    def _indexes(self, old: Entity, new: Entity) -> None:
        was = {(i.kind, i.fields) for i in old.indexes if i.kind != "search"}
        now = {(i.kind, i.fields) for i in new.indexes if i.kind != "search"}
        for kind, names in sorted(now - was):
            columns = [column for name in names for column in new.fields[name].columns]
            said = " and ".join(names)
            if kind == "unique":
                self.steps.append(
                    Step(f"{new.name}: {said} must be unique now.", "locks", Question(
                        self._before(old, new, names), (new.table, _duplicates(new.table, columns)),
                        f"share their {said} with another record",
                        "Make them different in a data function."))
                )  # fmt: skip
            else:
                self.steps.append(Step(f"{new.name}: an index over {said} is made.", "locks"))
        for kind, names in sorted(was - now):
            what = "need not be unique any more" if kind == "unique" else "have no index any more"
            self.steps.append(Step(f"{new.name}: {' and '.join(names)} {what}."))

    def _before(self, old: Entity, new: Entity, names: Sequence[str]) -> tuple[str, str]:
        """How many share values now, where the fields are there already."""
        former = {name: old.fields.get(name) or old.fields.get(new.fields[name].was) for name in names}
        columns = [column for part in former.values() if part is not None for column in part.columns]
        known = all(part is not None for part in former.values())
        return old.table, _duplicates(old.table, columns) if known else "1 = 0"

    def _search(self, old: Entity, new: Entity, change: TableChange) -> None:
        if old.search == new.search:
            return
        if new.search:
            words = f"{new.name} is searched in {', '.join(new.search)}: the words of all records are made."
            self.steps.append(Step(words, "locks", Question((old.table, "1 = 1"))))
            change.words = True
            if not old.search:
                change.added.append("_words")
        else:
            self.steps.append(Step(f"{new.name} is not searched any more."))
            change.aside.append("_words")


def _said(entity: Entity) -> str:
    ends = [part.target.name for part in entity.fields.values() if part.target is not None]
    return f"What joins {' and '.join(ends)}" if entity.made else entity.name


def _duplicates(table: str, columns: Sequence[str]) -> str:
    names = ", ".join(quoted(column) for column in columns)
    some = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in columns)
    same = " AND ".join(f"d.{quoted(column)} = {quoted(table)}.{quoted(column)}" for column in columns)
    grouped = f"SELECT {names} FROM {quoted(table)} WHERE {some} GROUP BY {names} HAVING count(*) > 1"
    return f"EXISTS (SELECT 1 FROM ({grouped}) AS d WHERE {same})"


def _checks(all_tables: Any, part: Field, schema: Schema) -> Iterator[sa.CheckConstraint]:
    for entity in schema.entities.values():
        if entity.fields.get(part.name) is part:
            prefix = f"ck_{entity.table}_{part.name}_"
            found = [c for c in all_tables[entity.table].constraints if isinstance(c, sa.CheckConstraint)]
            yield from sorted((c for c in found if str(c.name).startswith(prefix)), key=lambda c: str(c.name))


def _words(sqltext: Any, now: Field, was: Field) -> str:
    """The text of a check of a renamed field, as it would be said of its name now."""
    text = str(sqltext.text).replace("\\:", ":")
    return text.replace(quoted(was.column), quoted(now.column))


def _form(table: sa.Table, dialect: str) -> tuple[Any, ...]:
    """Everything about a table that a database keeps; two tables of one form are the same."""
    from backstay.store.tables import dialect_of

    of = dialect_of(dialect)
    columns = [
        (c.name, c.type.compile(dialect=of), c.nullable, str(c.server_default.arg) if c.server_default is not None
         and hasattr(c.server_default, "arg") else "") for c in table.columns
    ]  # fmt: skip
    checks = sorted((str(c.name), str(c.sqltext)) for c in table.constraints if isinstance(c, sa.CheckConstraint))
    links = sorted(
        (str(c.name), str(list(c.column_keys)), str(c.elements[0].target_fullname), str(c.ondelete))
        for c in table.foreign_key_constraints
    )  # fmt: skip
    indexes = sorted((str(i.name), tuple(c.name for c in i.columns), bool(i.unique)) for i in table.indexes)
    return table.name, sorted(columns, key=str), checks, links, indexes


def describe_kind(part: Field) -> str:
    """What a field holds, in words."""
    kind = part.kind
    if part.target is not None:
        return f"a relation to {part.target.name}"
    said = _kind_words(kind)
    return f"{said}, encrypted" if kind.sealed else said


def _kind_words(kind: Kind) -> str:
    match kind.name:
        case "text":
            base = kind.format or "text"
            return f"{base} of at most {kind.max_length} characters" if kind.max_length is not None else base
        case "decimal":
            return f"a decimal of {kind.precision} digits, {kind.scale} behind the point"
        case "enum":
            return f"one of {', '.join(str(choice) for choice in kind.choices)}"
        case "money":
            return f"money in {kind.currency}" if kind.currency else "money"
        case "list":
            return f"a list of {_kind_words(kind.item) if kind.item is not None else 'JSON'}"
        case other:
            return other.replace("_", " ")


def describe_field(part: Field) -> str:
    """What a field holds and whether it may be null, in words."""
    return f"{describe_kind(part)}, {'may be null' if part.nullable else 'never null'}"
