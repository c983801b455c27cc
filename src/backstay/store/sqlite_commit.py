"""Group commit: the transactions of one process share the connection that writes to SQLite, and its commits.

Many share one BEGIN IMMEDIATE … COMMIT, each in a savepoint of its own; whoever comes while a commit is on its way to
the disk is in the next one. The disk is waited for on a thread, and so is the turn of another process, so that reads
go on.
Invariant: nobody is told anything, good or bad, of what is not on the disk yet; and a savepoint is begun and ended in
one step of one task, so that no two transactions ever see each other's halves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from time import monotonic, sleep
from types import TracebackType
from typing import Any

import apsw

from backstay.errors import Unavailable
from backstay.store.inside import AwaitedElsewhere, enter, inside_transaction, leave
from backstay.store.port import Broken, Taken
from backstay.store.sqlite_turn import WriteTurn

Rows = list[Any]
Job = Callable[[], None]
PATIENCE = 5.0
"""For how many seconds a transaction waits for its beginning."""

_IDLE, _AWAY, _OPEN = range(3)  # nothing is begun; the thread has the connection; transactions come and go
_STEPS = 20_000
# Not the texts that anybody else would send: what is in the driver's cache is not asked about again.
_BEGIN, _COMMIT, _ROLLBACK = (f"{word} -- for all" for word in ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"))
_NAME = "_one_of_many"
_SAVE, _KEEP, _UNDO = f"SAVEPOINT {_NAME}", f"RELEASE {_NAME}", f"ROLLBACK TO {_NAME}"
_OF_THE_DISK = (
    apsw.FullError, apsw.IOError, apsw.NoMemError, apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError,
    apsw.ReadOnlyError, apsw.ProtocolError, apsw.BusyError, apsw.LockedError,
)  # fmt: skip
_LOST = "The change was not made: the database cannot be written just now."
_AGAIN = "The change was not made, because of another one at the same moment."


class SQLiteTransaction:
    """One transaction: a savepoint among others, acknowledged where its block ends."""

    __slots__ = ("_block", "_writer", "done", "fate", "ran", "seconds", "task")

    def __init__(self, writer: GroupCommit, seconds: float) -> None:
        self._writer = writer
        self.seconds = seconds
        self.task: asyncio.Task[Any] | None = None
        self.ran: list[tuple[str, Sequence[Any], Rows | str]] = []  # what was asked, and the rows or the refusal
        self.fate: BaseException | None = None  # why it ended before its block did
        self.done: asyncio.Future[None] | None = None

    async def __aenter__(self) -> SQLiteTransaction:
        await self._writer.begin(self)
        self._block = enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leave(self._block)
        if self.fate is not None:
            if error is None or (isinstance(error, Exception) and error is not self.fate):
                raise self.fate
        elif error is None:
            await self._writer.keep(self)
        else:
            await self._writer.undo(self, told=isinstance(error, Exception))

    async def run(self, text: str, values: Sequence[Any]) -> Rows:
        """The rows of one statement."""
        return self._writer.run(self, text, values)

    async def number(self, sequence: str) -> int:
        """The next number of a named sequence."""
        rows = self._writer.run(
            self,
            'INSERT INTO "_sequences" VALUES (?1, 1) '
            "ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
            (sequence,),
        )
        return int(rows[0][0])


class GroupCommit:
    """The writing connection of one process.

    `connect` opens it, again after the disk has failed; `turn` is shared with other processes. Without a turn the
    connection is one in memory that also reads: then every transaction is committed by itself, at once.
    """

    def __init__(self, connect: Callable[[], apsw.Connection], turn: WriteTurn | None) -> None:
        self.statements = 0
        self.connection: apsw.Connection | None = None
        self._connect = connect
        self._turn = turn
        self._phase = _IDLE
        self._owner: SQLiteTransaction | None = None
        self._kept: list[SQLiteTransaction] = []  # released, and acknowledged by the next commit
        self._told: list[asyncio.Future[None]] = []  # undone, and told why after the next commit
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()  # since when, and who
        self._finishing: asyncio.Handle | None = None
        self._deadline = 0.0
        self._own = self._closed = self._queueing = False
        self._jobs: SimpleQueue[tuple[asyncio.AbstractEventLoop, Job, Callable[[BaseException | None], None]] | None]
        self._jobs = SimpleQueue()
        self._thread: Thread | None = None
        self._settled: asyncio.Future[None] | None = None

    def open(self) -> None:
        """Open the connection."""
        self.connection = self._opened()
        if self._turn is not None:
            self._turn.open()

    def _opened(self) -> apsw.Connection:
        connection = self._connect()
        if self._turn is not None:
            connection.set_progress_handler(self._late, _STEPS)
        connection.authorizer = self._authorize
        return connection

    def _late(self) -> bool:
        return monotonic() > self._deadline

    def _authorize(self, action: int, one: str | None, two: str | None, _: str | None, __: str | None) -> int:
        """What a statement inside a transaction must not do, since the transaction belongs to others too."""
        foreign = (
            action in (apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH)
            or (action == apsw.SQLITE_TRANSACTION and not self._own)
            or (action == apsw.SQLITE_SAVEPOINT and two != _NAME)
            or (action == apsw.SQLITE_PRAGMA and one == "defer_foreign_keys")
        )
        return apsw.SQLITE_DENY if foreign else apsw.SQLITE_OK

    def _control(self, text: str) -> None:
        assert self.connection is not None
        self._own = True
        try:
            self.connection.execute(text)
        finally:
            self._own = False

    # One transaction, in one step of its task.

    async def begin(self, tx: SQLiteTransaction) -> None:
        """Begin a savepoint, as soon as the connection is free. Raises `Unavailable` where that takes too long."""
        if inside_transaction() and self._owner is not None:
            raise AwaitedElsewhere(
                "A transaction is open already: use its `tx`, or begin the second one after the block."
            )
        while self._phase != _OPEN and not (self._phase == _IDLE and self._begin_now()):
            await self._wait(tx)
        if self._owner is not None:
            self._evict(self._owner)
            return await self.begin(tx)  # the group may have ended with it
        assert self.connection is not None
        tx.task = asyncio.current_task()
        self.connection.execute(_SAVE)
        self._owner = tx

    async def _wait(self, tx: SQLiteTransaction) -> None:
        if self._closed:
            raise Unavailable("The application is being stopped.")
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append((monotonic(), turn))
        timer = loop.call_later(PATIENCE, _settle, turn, Unavailable("The database is busy with other writes."))
        try:
            await turn
        finally:
            timer.cancel()

    def waiting(self) -> float:
        """For how many seconds the first in line has waited for its beginning."""
        return next((monotonic() - since for since, turn in self._waiting if not turn.done()), 0.0)

    def run(self, tx: SQLiteTransaction, text: str, values: Sequence[Any]) -> Rows:
        """The rows of one statement of a transaction."""
        if self._owner is not tx:
            raise tx.fate or RuntimeError("This transaction has ended: begin another one.")
        assert self.connection is not None
        self.statements += 1
        self._deadline = monotonic() + tx.seconds
        try:
            rows = self.connection.execute(text, values).fetchall()
        except apsw.ConstraintError as error:
            tx.ran.append((text, values, str(error)))
            refused = refusal_of(error)
            if not self.connection.in_transaction:  # by a clause of its own: ON CONFLICT ROLLBACK
                self._lose(tx, refused)
            raise refused from None
        except apsw.AuthError:
            raise RuntimeError("A transaction is begun and ended by its block, not by a statement.") from None
        except apsw.InterruptError as error:
            problem = _because(Unavailable(code="timeout"), error)
            if not self.connection.in_transaction:  # a change; a read that is interrupted harms nobody
                self._lose(tx, problem)
            raise problem from error
        except _OF_THE_DISK as error:
            problem = _because(Unavailable(_LOST), error)
            self._lose(tx, problem, disk=True)
            raise problem from error
        tx.ran.append((text, values, rows))
        return rows

    async def keep(self, tx: SQLiteTransaction) -> None:
        """End the savepoint and wait for the commit that holds it."""
        assert self.connection is not None
        self._owner = None
        try:
            self.connection.execute(_KEEP)
        except apsw.Error as error:
            problem = _because(Unavailable(_LOST), error)
            self._lose(tx, problem, disk=True)
            raise problem from error
        if self._turn is None:
            self._control(_COMMIT)
            return self._end()
        tx.done = asyncio.get_running_loop().create_future()
        self._kept.append(tx)
        await tx.done

    async def undo(self, tx: SQLiteTransaction, *, told: bool) -> None:
        """Take the savepoint back. What it saw of others may be told only where that is committed: wait for it."""
        self._take_back()
        if told and tx.ran and self._kept:
            outcome = asyncio.get_running_loop().create_future()
            self._told.append(outcome)
            await outcome

    def _take_back(self) -> None:
        assert self.connection is not None
        self._owner = None
        try:
            self.connection.execute(_UNDO)
            self.connection.execute(_KEEP)
        except apsw.Error as error:
            self._lose(None, error, disk=True)

    def _evict(self, tx: SQLiteTransaction) -> None:
        """The task of a transaction waits for something else, and everybody would wait with it: it is undone."""
        tx.fate = AwaitedElsewhere(
            f"Inside a transaction only `tx` may be awaited, and this one awaited something else ({_place(tx.task)}). "
            "It was undone. Await other things before or after the block."
        )
        self._take_back()

    # All of them.

    def _begin_now(self) -> bool:
        """Begin for all, or let the thread do it where somebody else writes."""
        if self._closed:
            return False
        if self.connection is not None and (self._turn is None or self._turn.take_now()):
            try:
                self._control(_BEGIN)
            except apsw.BusyError:
                self._leave_turn()
            except apsw.Error:
                self._discard()
                self._leave_turn()
            else:
                self._open_for_all()
                return True
        self._queueing = True
        self._go(self._begin_patiently, self._begun)
        return False

    def _open_for_all(self) -> None:
        self._phase = _OPEN
        self._finishing = asyncio.get_running_loop().call_soon(self._finish)

    def _begin_patiently(self) -> None:
        """On the thread: wait for the turn, open the connection again where it failed, begin."""
        assert self._turn is not None
        self._turn.take()
        self._queueing = False
        try:
            if self._closed:
                raise Unavailable("The application is being stopped.")
            if self.connection is None:
                self.connection = self._reopened()
            deadline = monotonic() + PATIENCE
            while True:
                try:
                    return self._control(_BEGIN)
                except apsw.BusyError:  # somebody who takes no turns
                    if monotonic() > deadline:
                        raise
                    sleep(0.002)
        except BaseException as error:
            if isinstance(error, apsw.Error) and not isinstance(error, apsw.BusyError):
                self._discard()
            self._turn.leave()
            raise

    def _reopened(self) -> apsw.Connection:
        """Another connection, which writes one page to the disk before anybody relies on it.

        What the failed commit left in the write-ahead log is overwritten by it, so that no recovery finds it there.
        """
        connection = self._opened()
        try:
            self._deadline = monotonic() + PATIENCE
            self._own = True
            (version,) = connection.execute("PRAGMA user_version").fetchone()  # type: ignore[misc]
            connection.execute(f"BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT")
        except apsw.Error:
            connection.close(True)
            raise
        finally:
            self._own = False
        return connection

    def _begun(self, error: BaseException | None) -> None:
        """Back on the loop: everybody who waits may begin, in the order in which they came."""
        waiting = [turn for _, turn in self._waiting if not turn.done()]
        self._waiting.clear()
        if error is not None:
            self._phase = _IDLE
            for turn in waiting:
                busy = isinstance(error, apsw.BusyError)
                _settle(
                    turn, _because(Unavailable("The database is busy with another writer." if busy else _LOST), error)
                )
            return
        for turn in waiting:
            _settle(turn)
        self._open_for_all()  # and finish when each has had its step

    def _finish(self) -> None:
        """Every task that could go on has had its step: what they kept is committed."""
        if self._owner is not None:
            self._evict(self._owner)
        if self._phase != _OPEN:
            return
        if self._kept:
            self._go(self._commit, self._committed)
        else:
            with suppress(apsw.Error):
                self._control(_ROLLBACK)
            self._end()

    def _end(self) -> None:
        if self._finishing is not None:
            self._finishing.cancel()
        self._phase = _IDLE
        self._leave_turn()

    def _leave_turn(self) -> None:
        if self._turn is not None:
            self._turn.leave()

    def _commit(self) -> None:
        """On the thread: wait for the disk. After an error this connection writes no more."""
        try:
            self._control(_COMMIT)
        except apsw.Error:
            self._discard()
            with suppress(apsw.Error):  # else whoever comes next tries
                self.connection = self._reopened()
            raise
        finally:
            self._leave_turn()

    def _committed(self, error: BaseException | None) -> None:
        """Back on the loop: the next transactions begin, then the answers of these go out while they are written."""
        self._phase = _IDLE
        kept, self._kept = self._kept, []
        told, self._told = self._told, []
        if any(not turn.done() for _, turn in self._waiting) and self._begin_now():
            self._finishing.cancel()  # type: ignore[union-attr]
            self._begun(None)
        for future in (*(tx.done for tx in kept), *told):
            _settle(future, None if error is None else _because(Unavailable(_LOST), error))

    # When the transaction of all is gone.

    def _lose(self, guilty: SQLiteTransaction | None, problem: BaseException, *, disk: bool = False) -> None:
        """The database has undone everything, also what was kept. Nobody has been told of it yet.

        Where one statement is to blame, what the others did is done again, statement by statement: with the same
        rows back, their code would have done the same. Who gets other rows is told to try again; and so is everybody
        where the disk is to blame, whose connection is given up.
        """
        self._owner = None
        if guilty is not None:
            guilty.fate = problem
        innocent, self._kept = self._kept, []
        told, self._told = self._told, []
        assert self.connection is not None
        if not disk:
            try:
                if self.connection.in_transaction:
                    self._control(_ROLLBACK)
                self._control(_BEGIN)
                self._kept = [tx for tx in innocent if self._done_again(tx)]
            except apsw.Error:
                self._kept, disk = [], True
        if disk:
            self._discard()
            self._end()
        for outcome in (*(tx.done for tx in innocent if tx not in self._kept), *told):
            _settle(outcome, _because(Unavailable(_LOST if disk else _AGAIN), problem.__cause__ or problem))

    def _done_again(self, tx: SQLiteTransaction) -> bool:
        assert self.connection is not None
        self.connection.execute(_SAVE)
        for text, values, outcome in tx.ran:
            self._deadline = monotonic() + tx.seconds
            found: Rows | str
            try:
                found = self.connection.execute(text, values).fetchall()
            except apsw.ConstraintError as error:
                found = str(error)
            if found != outcome:
                self.connection.execute(_UNDO)
                self.connection.execute(_KEEP)
                return False
        self.connection.execute(_KEEP)
        return True

    def _discard(self) -> None:
        """Give the connection up: after a failed write or commit what it holds is not known."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(apsw.Error):
                connection.close(True)

    # The thread.

    def _go(self, job: Job, then: Callable[[BaseException | None], None]) -> None:
        self._phase = _AWAY
        if self._thread is None:
            self._thread = Thread(target=self._work, name="sqlite-write", daemon=True)
            self._thread.start()
        self._jobs.put((asyncio.get_running_loop(), job, then))

    def _work(self) -> None:
        while (given := self._jobs.get()) is not None:
            loop, job, then = given
            error: BaseException | None = None
            try:
                job()
            except BaseException as caught:
                error = caught
            with suppress(RuntimeError):  # a loop that was closed meanwhile
                loop.call_soon_threadsafe(self._arrived, then, error)
        if self._turn is not None:
            self._turn.close()

    def _arrived(self, then: Callable[[BaseException | None], None], error: BaseException | None) -> None:
        then(error)
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    async def close(self) -> None:
        """Finish the commit that is on its way, and close. Who still waits for a beginning is refused."""
        self._closed = True
        for _, turn in self._waiting:
            _settle(turn, Unavailable("The application is being stopped."))
        while self._phase == _OPEN or (self._phase == _AWAY and not self._queueing):
            if self._phase == _OPEN:
                await asyncio.sleep(0)
            else:
                self._settled = asyncio.get_running_loop().create_future()
                await self._settled
        self._jobs.put(None)
        if self._thread is not None and not self._queueing:
            self._thread.join()
        if self._thread is None and self._turn is not None:
            self._turn.close()
        self._discard()


def _settle(future: asyncio.Future[None] | None, problem: BaseException | None = None) -> None:
    if future is None or future.done():
        return
    if problem is None:
        future.set_result(None)
    else:
        future.set_exception(problem)


def _because(problem: Unavailable, error: BaseException) -> Unavailable:
    """A problem with what the log shows as its cause."""
    problem.__cause__ = error
    return problem


def _place(task: asyncio.Task[Any] | None) -> str:
    """Where a task waits: the innermost lines."""
    places: list[str] = []
    inner: Any = task.get_coro() if task is not None else None
    while inner is not None:
        frame = next((f for name in ("cr_frame", "gi_frame", "ag_frame") if (f := getattr(inner, name, None))), None)
        if frame is not None:
            places.append(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
        names = ("cr_await", "gi_yieldfrom", "ag_await")
        inner = next((found for name in names if (found := getattr(inner, name, None)) is not None), None)
    return "; ".join(places[-3:]) or "nobody knows where"


def refusal_of(error: apsw.ConstraintError) -> Exception:
    """What a constraint refused."""
    message = str(error)
    if "UNIQUE" in message:
        return Taken(message.split(": ", 1)[-1])
    if "FOREIGN KEY" in message:
        return Broken("foreign")
    return Broken("check", message.split(": ", 1)[-1])
