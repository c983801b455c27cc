"""The rows of a file, one after another: CSV, JSON or JSON Lines, each with the line where it begins.

Invariant: a file is read from front to end and never held whole (but for a JSON array, which is one document); the
number of a row is the same whenever it is read. A row that cannot be read is handed on as one, with its reason.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from backstay.errors import nearest
from backstay.transfer.change import BadMapping
from backstay.transfer.formula import plain as unmarked
from backstay.transfer.mapping import Source

LONGEST_CELL = 1_048_576  # characters
_LOOKED_AT = 200  # records of a JSON file, for their names
LARGEST_ARRAY = 268_435_456  # bytes of a JSON array, which is held in memory


@dataclass(slots=True)
class Row:
    """One row: the file (by its number) and the line where it begins, its cells in the order of the columns."""

    file: int
    line: int
    cells: Sequence[Any]
    wrong: str = ""
    """Why it cannot be read."""
    raw: Any = None
    """What stood there, all of it."""


def format_of(path: Path, source: Source) -> str:
    """The format of a file: what the mapping says, or its ending."""
    if source.format:
        return source.format
    ending = path.suffix.lower().lstrip(".")
    formats = {"csv": "csv", "tsv": "csv", "json": "json", "jsonl": "jsonl", "ndjson": "jsonl"}
    if ending not in formats:
        raise BadMapping(f'{path.name}: say what it is: [source] format = "csv", "json" or "jsonl".')
    return formats[ending]


def columns_of(path: Path, source: Source) -> list[str]:
    """The names of the columns of a file: the header of a CSV file, the names in the first records of another.

    What stands in an object has the name of that before it: `category.slug`.
    """
    if format_of(path, source) == "csv":
        with path.open(encoding=source.encoding, errors="surrogateescape", newline="") as file:
            return next(csv.reader(file, delimiter=_delimiter(path, source)), [])
    names: dict[str, None] = {}
    inside: set[str] = set()
    for _, document in islice(_documents(path, source), _LOOKED_AT):
        for name, value in document.items() if isinstance(document, dict) else ():
            if isinstance(value, dict) and {*value} != {"amount", "currency"}:
                inside.add(name)
                names |= dict.fromkeys(f"{name}.{inner}" for inner in value)
            else:
                names[name] = None
    return [name for name in names if name not in inside]


def rows(paths: Sequence[Path], source: Source, columns: Sequence[str], start: int = 0) -> Iterator[Row]:
    """The rows of files in order, from this number on. Raises `BadMapping` for a column that is not there."""
    return islice(_all(paths, source, columns), start, None)


def _all(paths: Sequence[Path], source: Source, columns: Sequence[str]) -> Iterator[Row]:
    for number, path in enumerate(paths):
        read = _csv if format_of(path, source) == "csv" else _json
        yield from read(number, path, source, columns)


def _delimiter(path: Path, source: Source) -> str:
    return "\t" if path.suffix.lower() == ".tsv" and source.delimiter == "," else source.delimiter


def _csv(number: int, path: Path, source: Source, columns: Sequence[str]) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_CELL)
    # What is no text in this encoding stays in its cell as half a character, and is refused where the cell is used.
    with path.open(encoding=source.encoding, errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=_delimiter(path, source))
        header = next(reader, [])
        places = [_place(name, header, path) for name in columns]
        straight = places == list(range(len(header)))
        line, width = reader.line_num, len(header)
        while True:
            begins = line + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise BadMapping(f"{path.name}, line {begins}: {error}.") from None
            line = reader.line_num
            if source.formulas:
                cells = [unmarked(cell) for cell in cells]
            if len(cells) == width:
                yield Row(number, begins, cells if straight else [cells[place] for place in places], "", cells)
            elif cells:
                yield Row(number, begins, (), f"has {len(cells)} cells under {width} columns", cells)


def _place(name: str, header: Sequence[str], path: Path) -> int:
    if name not in header:
        raise BadMapping(f'{path.name} has no column "{name}".{nearest(name, header)} It has {", ".join(header)}.')
    return header.index(name)


def _json(number: int, path: Path, source: Source, columns: Sequence[str]) -> Iterator[Row]:
    ways = [(name, name.split(".")) for name in columns]
    for line, document in _documents(path, source):
        if isinstance(document, dict):
            yield Row(number, line, [_inside(document, name, way) for name, way in ways], "", document)
        else:
            yield Row(number, line, (), "must be an object", document)


def _inside(document: dict[str, Any], name: str, way: Sequence[str]) -> Any:
    """The value of a name, or along a path of names."""
    if name in document:
        return document[name]
    here: Any = document
    for step in way:
        here = here.get(step) if isinstance(here, dict) else None
    return here


def _documents(path: Path, source: Source) -> Iterator[tuple[int, Any]]:
    if format_of(path, source) == "json":
        if path.stat().st_size > LARGEST_ARRAY:
            raise BadMapping(f"{path.name} is larger than {LARGEST_ARRAY:,} bytes: write it as JSON Lines.")
        try:
            whole = msgspec.json.decode(path.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadMapping(f"{path.name} is no JSON: {error}.") from None
        found = whole if isinstance(whole, list) else whole.get("data") if isinstance(whole, dict) else None
        if not isinstance(found, list):
            raise BadMapping(f"{path.name} is no list of records.")
        yield from enumerate(found, 1)
        return
    with path.open("rb") as file:
        for line, text in enumerate(file, 1):
            if text.strip():
                try:
                    yield line, msgspec.json.decode(text)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    yield line, text.decode(errors="replace").rstrip("\n")


def mark_of(paths: Sequence[Path]) -> tuple[str, int]:
    """What differs where the content of the files does, and about how many rows they have."""
    mark, lines = blake2b(digest_size=16), 0
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                mark.update(part)
                lines += part.count(b"\n")
        mark.update(b"\0end of file\0")
    return mark.hexdigest(), lines
