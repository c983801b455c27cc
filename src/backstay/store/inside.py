"""Whether the running code is inside a transaction: what must not be done there asks here first.

Invariant: true from the moment in which a transaction's block is entered until it is left, for the code of the block,
for what it calls and for the tasks that it begins; and for nobody else.
"""

from __future__ import annotations

from contextvars import ContextVar


class AwaitedElsewhere(RuntimeError):
    """Own code did something inside a transaction that has to be done before or after it."""


class Block:
    """One transaction's block, open until it is left."""

    __slots__ = ("open", "outer")

    def __init__(self, outer: Block | None) -> None:
        self.open = True
        self.outer = outer


_block: ContextVar[Block | None] = ContextVar("block", default=None)


def inside_transaction() -> bool:
    """Whether the running code is inside a transaction, on any database.

    >>> inside_transaction()
    False
    """
    block = _block.get()
    while block is not None:
        if block.open:
            return True
        block = block.outer
    return False


def refuse_inside(doing: str) -> None:
    """Raise `AwaitedElsewhere` inside a transaction: what is not in the database cannot be taken back with it.

    >>> refuse_inside("Sending a request")
    """
    if inside_transaction():
        raise AwaitedElsewhere(
            f"{doing} is not possible inside a transaction, which could not take it back and would keep others "
            "waiting: do it before or after the block."
        )


def enter() -> Block:
    """A block that is entered by the running code."""
    block = Block(_block.get())
    _block.set(block)
    return block


def leave(block: Block) -> None:
    """The block is left."""
    block.open = False
    _block.set(block.outer)
