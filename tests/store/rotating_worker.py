"""A process that rotates the keys of a bank, says how many records each batch was, and is killed in the middle of one.

It stops of itself, holding its transaction, before it seals the value of the number that it is given.
"""

import asyncio
import sys
import threading

from backstay.store import rotation, sealing
from backstay.store.rotation import Rotation
from backstay.store.sealing import seal_again
from tests.store.bank import bank, engine_of


async def main(url: str, keys: str, stop_before: int) -> None:
    engine = await engine_of(bank(), url, keys)
    sealed = 0

    def counting(*arguments: object) -> str:
        nonlocal sealed
        sealed += 1
        if sealed == stop_before:
            print("stopped", flush=True)
            threading.Event().wait()
        return seal_again(*arguments)  # type: ignore[arg-type]

    rotation.seal_again = sealing.seal_again = counting  # type: ignore[assignment]
    print("ready", flush=True)
    sys.stdin.readline()
    outcome = await Rotation(engine, batch=10).run(lambda records: print(f"sealed {records}", flush=True))
    print(f"done {outcome.rotated} {outcome.left}", flush=True)
    await engine.store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
