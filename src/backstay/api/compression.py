"""Bodies are packed with gzip where the client asks for it and it is worth the work.

Packing costs about 2 µs of a core for each kB, so small bodies go as they are, and large ones are packed on a thread.
Invariant: what may hold a secret (`Cache-Control: no-store`, such as the tokens of a log-in) is never packed, so that
the length of an answer tells nothing about it (BREACH); and a packed representation has a strong tag of its own.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from functools import lru_cache

Header = tuple[bytes, bytes]

SMALLEST = 1_024
"""Bytes; a smaller body fits into one packet either way."""
LARGE = 131_072
"""Bytes; packing that much takes longer than a thread does to answer."""
_LEVEL = 1
_GZIP = zlib.MAX_WBITS | 16
_ENCODING: Header = (b"content-encoding", b"gzip")
_PACKED = b'-gzip"'


@lru_cache(maxsize=256)
def accepts_gzip(accepted: bytes) -> bool:
    """Whether `Accept-Encoding` asks for gzip rather than for nothing (RFC 9110, 12.5.3)."""
    weights: dict[bytes, float] = {}
    for part in accepted.lower().split(b","):
        coding, *parameters = [piece.strip() for piece in part.split(b";")]
        weights[coding] = _weight(parameters)
    gzip = weights.get(b"gzip", weights.get(b"x-gzip", weights.get(b"*", 0.0)))
    return gzip > 0 and gzip >= weights.get(b"identity", 0.0)


def _weight(parameters: Sequence[bytes]) -> float:
    for parameter in parameters:
        if parameter.startswith(b"q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


@lru_cache(maxsize=64)
def compresses(kind: bytes) -> bool:
    """Whether a media type is text of some kind; pictures, sounds and archives are packed already."""
    name = kind.partition(b";")[0].strip().lower()
    return (
        name.startswith(b"text/") and name != b"text/event-stream"
    ) or name.endswith((b"/json", b"+json", b"/xml", b"+xml", b"/javascript", b"/wasm"))  # fmt: skip


async def compress(body: bytes, headers: Sequence[Header]) -> tuple[bytes, Sequence[Header]]:
    """The body packed, with the headers that say so; both as they were where that is not wanted."""
    said = dict(headers)
    cached = said.get(b"cache-control", b"")
    if b"content-encoding" in said or not compresses(said.get(b"content-type", b"")):
        return body, headers
    if b"no-store" in cached or b"no-transform" in cached:
        return body, headers
    if len(body) < LARGE:
        packed = _pack(body)
    else:
        packed = await asyncio.get_running_loop().run_in_executor(None, _pack, body)
    tagged = [(name, packed_tag(value)) if name == b"etag" else (name, value) for name, value in headers]
    return packed, [*tagged, _ENCODING]


def _pack(body: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()


def packed_tag(tag: bytes) -> bytes:
    """The tag of the packed representation. A weak one says the same of both."""
    return tag[:-1] + _PACKED if tag.startswith(b'"') else tag


def plain_tag(tag: bytes) -> bytes:
    """The tag of the representation as it was before packing."""
    return tag[: -len(_PACKED)] + b'"' if tag.endswith(_PACKED) else tag
