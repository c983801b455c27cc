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
from time import monotonic, sleep
from typing import Any

import apsw

from backstay.errors import Unavailable
from backstay.store.inside import AwaitedElsewhere, inside_transaction
from backstay.store.port import Contended
from backstay.store.sqlite_connection import OF_THE_DISK, Rows, WritingConnection, refusal_of
from backstay.store.sqlite_thread import DiskThread, Job, Then
from backstay.store.sqlite_transaction import SQLiteTransaction
from backstay.store.sqlite_turn import WriteTurn
from backstay.telemetry.metrics import SIZES, Histogram

PATIENCE = 5.0
"""For how many seconds a transaction waits for its beginning."""

_AT_ONCE = 8
"""So many of those who wait are called in one turn of the event loop, and then others have their step."""
_IDLE, _AWAY, _OPEN = range(3)  # nothing is begun; the thread has the connection; transactions come and go
_LOST = "The change was not made: the database cannot be written just now."
_AGAIN = "The change was not made, because of another one at the same moment."
_STOPPING = "The application is being stopped."


class GroupCommit:
    """What the transactions of one process share.

    `connect` opens the connection, again after the disk has failed; `turn` is shared with other processes. Without a
    turn the connection is one in memory that also reads: then every transaction is committed by itself, at once.
    """

    def __init__(self, connect: Callable[[], apsw.Connection], turn: WriteTurn | None) -> None:
        self.statements = 0
        self.sizes = Histogram(SIZES)
        """How many transactions each commit held."""
        self.connection = WritingConnection(connect, limited=turn is not None)
        self._turn = turn
        self._thread = DiskThread()
        self._phase = _IDLE
        self._owner: SQLiteTransaction | None = None
        self._kept: list[SQLiteTransaction] = []  # acknowledged by the next commit
        self._told: list[asyncio.Future[None]] = []  # undone, and told why after the next commit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._calling: asyncio.Handle | None = None
        self._opened = self._behind = 0.0
        self._settled: asyncio.Future[None] | None = None
        self._closed = self._queueing = False

    def open(self) -> None:
        """Open the connection."""
        self.connection.open()
        if self._turn is not None:
            self._turn.open()

    def waiting(self) -> float:
        """For how many seconds the last in line waits behind what others do, without the time of the disk.

        In that time a commit has room for all who come, so more of them make nobody wait longer.
        """
        return self._behind if self._waiting else 0.0

    # One transaction, in one step of its task.

    async def begin(self, tx: SQLiteTransaction) -> None:
        """Begin a savepoint, as soon as the connection is free. Raises `Unavailable` where that takes too long."""
        if inside_transaction() and self._owner is not None:
            raise AwaitedElsewhere(
                "A transaction is open already: use its `tx`, or begin the second one after the block."
            )
        called = False
        while self._phase != _OPEN or (self._waiting and not called):
            if self._phase == _IDLE and not self._waiting and self._begin_now():
                break
            await self._wait()
            called = True
        if self._owner is not None:
            self._evict(self._owner)
            return await self.begin(tx)  # all may have ended with it
        tx.task = asyncio.current_task()
        self.connection.save()
        self._owner = tx

    async def _wait(self) -> None:
        if self._closed:
            raise Unavailable(_STOPPING)
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(PATIENCE, _settle, turn, Unavailable("The database is busy with other writes."))
        try:
            await turn
        except BaseException:
            with suppress(ValueError):
                self._waiting.remove(turn)
            raise
        finally:
            timer.cancel()

    def run(self, tx: SQLiteTransaction, text: str, values: Sequence[Any]) -> Rows:
        """The rows of one statement of a transaction."""
        if self._owner is not tx:
            raise tx.fate or RuntimeError("This transaction has ended: begin another one.")
        self.statements += 1
        try:
            rows = self.connection.run(text, values, tx.seconds)
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
        except OF_THE_DISK as error:
            problem = _because(Unavailable(_LOST), error)
            self._lose(tx, problem, disk=True)
            raise problem from error
        tx.ran.append((text, values, rows))
        return rows

    async def keep(self, tx: SQLiteTransaction) -> None:
        """End the savepoint and wait for the commit that holds it."""
        self._owner = None
        try:
            self.connection.keep()
        except apsw.Error as error:
            problem = _because(Unavailable(_LOST), error)
            self._lose(tx, problem, disk=True)
            raise problem from error
        if self._turn is None:
            self.connection.commit()
            self.sizes.add(1)
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
        self._owner = None
        try:
            self.connection.undo()
        except apsw.Error as error:
            self._lose(None, error, disk=True)

    def _evict(self, tx: SQLiteTransaction) -> None:
        """The task of a transaction waits for something else, and everybody would wait with it: it is undone."""
        tx.fate = tx.awaited_elsewhere()
        self._take_back()

    # All of them.

    def _begin_now(self) -> bool:
        """Begin for all, or let the thread do it where somebody else writes."""
        if self._closed:
            return False
        if self.connection.open_now and (self._turn is None or self._turn.take_now()):
            try:
                self.connection.begin()
            except apsw.Error as error:
                if not isinstance(error, apsw.BusyError):
                    self.connection.give_up()
                self._leave_turn()
            else:
                self._open_for_all()
                return True
        self._queueing = True
        self._go(self._begin_patiently, self._begun)
        return False

    def _open_for_all(self) -> None:
        self._phase = _OPEN
        self._opened, self._behind = monotonic(), 0.0
        self._calling = asyncio.get_running_loop().call_soon(self._call)

    def _begin_patiently(self) -> None:
        """On the thread: wait for the turn, open the connection again where it failed, begin."""
        assert self._turn is not None
        self._turn.take()
        self._queueing = False
        try:
            if self._closed:
                raise Unavailable(_STOPPING)
            if not self.connection.open_now:
                self.connection.open_again()
            deadline = monotonic() + PATIENCE
            while True:
                try:
                    return self.connection.begin()
                except apsw.BusyError:  # somebody who takes no turns
                    if monotonic() > deadline:
                        raise
                    sleep(0.002)
        except BaseException as error:
            if isinstance(error, apsw.Error) and not isinstance(error, apsw.BusyError):
                self.connection.give_up()
            self._turn.leave()
            raise

    def _begun(self, error: BaseException | None) -> None:
        """Back on the loop: whoever waits may begin, or is told why not."""
        if error is None:
            self._open_for_all()
            return
        self._phase = _IDLE
        waiting, self._waiting = self._waiting, deque()
        said = "The database is busy with another writer." if isinstance(error, apsw.BusyError) else _LOST
        for turn in waiting:
            _settle(turn, _because(Unavailable(said), error))

    def _call(self) -> None:
        """Every task that could go on has had its step. Call the next who wait, or commit what all of them kept."""
        if self._owner is not None:
            self._evict(self._owner)
        if self._phase != _OPEN:
            return
        if self._waiting:
            for _ in range(min(_AT_ONCE, len(self._waiting))):
                _settle(self._waiting.popleft())
            self._behind = monotonic() - self._opened
            self._calling = asyncio.get_running_loop().call_soon(self._call)
            return
        if self._kept:
            self._go(self._commit, self._committed)
            return
        with suppress(apsw.Error):
            self.connection.rollback()
        self._end()

    def _end(self) -> None:
        if self._calling is not None:
            self._calling.cancel()
        self._phase = _IDLE
        self._leave_turn()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        if self._phase == _IDLE and self._waiting:
            self._begin_now()

    def _leave_turn(self) -> None:
        if self._turn is not None:
            self._turn.leave()

    def _commit(self) -> None:
        """On the thread: wait for the disk. After an error this connection writes no more."""
        try:
            self.connection.commit()
        except apsw.Error:
            self.connection.give_up()
            with suppress(apsw.Error):  # else whoever comes next tries
                self.connection.open_again()
            raise
        finally:
            self._leave_turn()

    def _committed(self, error: BaseException | None) -> None:
        """Back on the loop: the next transactions begin, then the answers of these go out while they are written."""
        self._phase = _IDLE
        kept, self._kept = self._kept, []
        told, self._told = self._told, []
        if error is None:
            self.sizes.add(len(kept))
        self._next()
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
        if not disk:
            try:
                if self.connection.in_transaction:
                    self.connection.rollback()
                self.connection.begin()
                self._kept = [tx for tx in innocent if self._done_again(tx)]
            except apsw.Error:
                self._kept, disk = [], True
        if disk:
            self.connection.give_up()
            self._end()
        for outcome in (*(tx.done for tx in innocent if tx not in self._kept), *told):
            said = Unavailable(_LOST) if disk else Contended(_AGAIN)
            _settle(outcome, _because(said, problem.__cause__ or problem))

    def _done_again(self, tx: SQLiteTransaction) -> bool:
        self.connection.save()
        for text, values, outcome in tx.ran:
            found: Rows | str
            try:
                found = self.connection.run(text, values, tx.seconds)
            except apsw.ConstraintError as error:
                found = str(error)
            if found != outcome:
                self.connection.undo()
                return False
        self.connection.keep()
        return True

    # The thread.

    def _go(self, job: Job, then: Then) -> None:
        self._phase = _AWAY

        def back(error: BaseException | None) -> None:
            then(error)
            _settle(self._settled)

        self._thread.do(job, back)

    async def close(self) -> None:
        """Finish the commit that is on its way, and close. Who still waits for a beginning is refused."""
        self._closed = True
        for turn in self._waiting:
            _settle(turn, Unavailable(_STOPPING))
        while self._phase == _OPEN or (self._phase == _AWAY and not self._queueing):
            self._settled = asyncio.get_running_loop().create_future()
            await (asyncio.sleep(0) if self._phase == _OPEN else self._settled)
        if self._turn is not None:
            self._thread.end(self._turn.close, wait=not self._queueing)
        self.connection.give_up()


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
