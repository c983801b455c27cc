"""Everything that an operator can be told, in one closed list: what the log, the metrics and the traces are made from.

Invariant: an event has a name that stays, a level, and fields that are named here; what is not in the list cannot be
said. No field holds a header, a body, a query or a value of a statement: those may be secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Journal(Protocol):
    """Where an operator reads what happened; `telemetry/log.py` writes one."""

    def event(self, event: str, **values: Any) -> None:
        """Tell one event of the list, with its fields."""
        ...


class Unheard:
    """A journal that nobody reads."""

    def event(self, event: str, **values: Any) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of thing that happens: how urgent it is, what it means for an operator, and what is said with it."""

    level: str
    meaning: str
    fields: tuple[str, ...] = ()


REQUEST = (
    "method", "path", "status", "ms", "request_id", "actor", "key", "client", "code", "why", "trace",
)  # fmt: skip

EVENTS: dict[str, Event] = {
    "request": Event("info", "A request was answered; `warning` from 502 on, `error` where it is 500.", REQUEST),
    "slow_statement": Event(
        "warning", "A statement took longer than `BACKSTAY_SLOW_STATEMENT_MS`; its text holds no values.",
        ("ms", "statement", "plan"),
    ),
    "schema_changed": Event("info", "A start added what the declaration has and the database lacked.", ("did",)),
    "migrated": Event(
        "info", "`backstay migrate` led the database to a declaration.",
        ("migration", "number", "seconds", "set_aside"),
    ),
    "migration_refused": Event(
        "error", "A migration found records in its way, and changed nothing.", ("migration", "steps"),
    ),
    "rolled_back": Event("warning", "The database follows an earlier declaration again.", ("migration", "number")),
    "set_aside_gone": Event(
        "warning", "`backstay migrate finish` threw away what was set aside: there is no way back.", ("did",),
    ),
    "unsafe_accepted": Event("warning", "Production starts with what `BACKSTAY_ACCEPT` names.", ("check", "said")),
    "serving": Event("info", "All processes serve.", ("host", "port", "pid")),
    "stopped": Event("info", "All processes have ended, as they were told to.", ("pid",)),
    "reloaded": Event("info", "New processes have taken over, with the code of now.", ("pid", "workers")),
    "reload_failed": Event("error", "A new process did not come up; the old ones go on.", ("pid",)),
    "worker_ended": Event("error", "A process ended by itself; another is started in its place.", ("pid", "code")),
    "worker_killed": Event("error", "A process did not end in its time, and was killed.", ("pid",)),
    "signed_in": Event("info", "Somebody signed in, and a session began.", ("user", "session", "client")),
    "sign_in_refused": Event(
        "warning", "A log-in was refused: `credentials`, `disabled`, or `too_many` of them.", ("why", "user", "client"),
    ),
    "token_reused": Event(
        "warning", "A refresh token came again that was spent: somebody else has it, and its session was ended.",
        ("user", "session", "client"),
    ),
    "reaction_failed": Event("warning", "A reaction raised; it is told again later.", ("reaction", "record", "error")),
    "reaction_given_up": Event(
        "error", "A reaction failed for the last time: `backstay outbox list` shows it.",
        ("reaction", "record", "position", "error"),
    ),
    "reactions_wait": Event("warning", "The database is away; reactions are told later.", ("reaction", "error")),
    "job_failed": Event("warning", "A job or a step of a flow failed; it is tried again later.",
                        ("job", "id", "attempts", "error")),
    "job_given_up": Event(
        "error", "A job or a flow was given up on: `backstay jobs show` says why.", ("job", "id", "error"),
    ),
    "flow_undone": Event("info", "A flow failed, and all its steps were taken back.", ("flow", "id", "error")),
    "undo_given_up": Event(
        "error", "A step of a flow could not be taken back: `backstay jobs show` says why.", ("flow", "step", "error"),
    ),
    "jobs_wait": Event("warning", "The database is away; jobs are done when it is back.", ("error",)),
    "mail_sent": Event("info", "A mail was taken on by the mail server.", ("mail", "id", "attempts")),
    "mail_failed": Event(
        "warning", "A mail was not taken on; it is tried again later.", ("mail", "id", "attempts", "error")
    ),
    "mail_given_up": Event(
        "error", "A mail was refused for good, or tried for the last time: its record says why.",
        ("mail", "id", "attempts", "error"),
    ),
    "live_waits": Event("warning", "The database is away; live streams go on when it is back.", ("error",)),
    "live_failed": Event("error", "A change could not be told to live streams: they begin anew.", ("error",)),
    "upkeep": Event("info", "A chore of the upkeep did something.", ("chore", "did", "seconds")),
    "upkeep_failed": Event("error", "A chore of the upkeep failed; it is done again next time.", ("chore", "error")),
    "upkeep_waits": Event("warning", "The database is away; the upkeep is done when it is back.", ("error",)),
    "answer_not_kept": Event("warning", "An answer could not be kept for its `Idempotency-Key`.", ("why",)),
    "keys_not_deleted": Event("warning", "Expired idempotency keys could not be deleted; it is tried again.", ("why",)),
    "rates_alone": Event("warning", "The database is away; this process counts rates by itself.", ("error",)),
    "rates_not_deleted": Event("warning", "Expired rates could not be deleted; it is tried again.", ("error",)),
    "outbound_refused": Event("warning", "`ctx.http` was given an address that may not be reached.", ("reason",)),
}  # fmt: skip
"""Every event by its name. The page of events is checked against it."""
