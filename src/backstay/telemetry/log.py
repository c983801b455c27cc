"""The log: a line per request with its id, readable in a terminal and JSON in production.

Lines are gathered for a tenth of a second and written together, so that logging is not what a request costs.
Invariant: only what `observation.py` lists is logged, one line each; no header, body or query, for they hold secrets.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import traceback
from datetime import UTC, datetime
from typing import IO, Any
from urllib.parse import quote

import msgspec

from backstay.telemetry.observation import EVENTS

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_UNSAFE = re.compile(r"[^ -~]|[\"\\\\]")
_METHODS = frozenset("GET HEAD OPTIONS POST PUT PATCH DELETE".split())
_COLOURS = {2: "32", 3: "36", 4: "33", 5: "31"}


class Log:
    """Writes events to one stream."""

    def __init__(self, level: str = "info", *, json: bool = False, stream: IO[str] | None = None) -> None:
        self.level = LEVELS.get(level.lower(), 20)
        self.json = json
        self._stream = stream or sys.stderr
        self._lines: list[str] = []
        self._waiting = False
        self.counts: dict[str, int] = {}
        """How often each event has happened, whether it was written or not."""
        self._second = 0
        self._stamp = ""

    def event(self, event: str, **values: Any) -> None:
        """One event of the closed list (`observation.py`) with its values. Raises `KeyError` for any other."""
        level = EVENTS[event].level
        self.counts[event] = self.counts.get(event, 0) + 1
        if LEVELS[level] < self.level:
            return
        now = datetime.now(UTC)
        values = {name: value for name, value in values.items() if value not in ("", None)}
        if self.json:
            body = {"ts": now.isoformat(timespec="milliseconds"), "level": level, "event": event, **values}
            self._put(msgspec.json.encode(body, enc_hook=str).decode())
        else:
            said = " ".join(f"{key}={shown(value)}" for key, value in values.items())
            self._put(f"{now:%H:%M:%S} {level:7} {event} {said}".rstrip())

    def request(
        self, request_id: str, method: str, path: str, status: int, seconds: float, actor: Any,
        error: BaseException | None, code: str = "", client: str = "", key: str = "",
    ) -> None:  # fmt: skip
        """The line of one request; `key` is the id of the API key it came with."""
        level = "info" if status < 500 else "error" if status == 500 else "warning"
        if LEVELS[level] < self.level:
            return
        if _UNSAFE.search(path):
            path = quote(path, safe="/:@!$&'()*+,;=~ ")  # as it was sent, and nothing a terminal or JSON could misread
        if method not in _METHODS:
            method = quote(method[:20], safe="")  # whatever somebody made up
        raised = why = ""
        if error is not None and status >= 500:
            if status == 500:
                raised = "".join(traceback.format_exception(error)).rstrip()
            elif (why := str(error)) == getattr(error, "detail", ""):
                why = type(error.__cause__).__name__ if error.__cause__ is not None else ""  # its text may tell values
        moment = time.time()
        if int(moment) != self._second:
            self._second = int(moment)
            self._stamp = datetime.fromtimestamp(self._second, UTC).isoformat()[:19]
        if self.json:
            whom = f',"actor":{_quoted(actor)}' if actor is not None else ""
            whom += f',"key":"{key}"' if key else ""
            wrong = f',"code":"{code}"' if code else ""
            wrong += f',"why":{_quoted(why)}' if why else ""
            wrong += f',"trace":{_quoted(raised)}' if raised else ""
            where = f',"client":"{client}"' if client else ""
            self._put(
                f'{{"ts":"{self._stamp}.{int(moment * 1000) % 1000:03}Z","level":"{level}","event":"request",'
                f'"method":"{method}","path":"{path}","status":{status},"ms":{seconds * 1000:.2f},'
                f'"request_id":"{request_id}"{whom}{where}{wrong}}}'
            )
        else:
            colour = _COLOURS.get(status // 100, "0")
            mark = f"\x1b[{colour}m{status}\x1b[0m" if self._stream.isatty() else str(status)
            said = f"{self._stamp[11:]} {mark} {method:6} {path} {seconds * 1000:.1f} ms {request_id} {code}"
            self._put(f"{said.rstrip()} {f'why={shown(why)}' if why else ''}".rstrip())
            if raised:
                self._put(raised)

    def _put(self, line: str) -> None:
        self._lines.append(line)
        if self._waiting:
            return
        try:
            asyncio.get_running_loop().call_later(0.1, self.flush)
            self._waiting = True
        except RuntimeError:
            self.flush()

    def flush(self) -> None:
        """Write what has been gathered."""
        self._waiting = False
        if self._lines:
            lines, self._lines = self._lines, []
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()


def shown(value: object) -> str:
    """A value as it stands in a line for people: quoted where it could be misread."""
    said = str(value)
    return said if said and not _UNSAFE.search(said) and " " not in said else json.dumps(said)


def _quoted(text: object) -> str:
    """As JSON has it; ids of our own need no look."""
    said = str(text)
    return f'"{said}"' if not _UNSAFE.search(said) else msgspec.json.encode(said).decode()
