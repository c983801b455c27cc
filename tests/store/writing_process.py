"""A process that writes to a SQLite file and says what was acknowledged, for tests that end it in the middle.

`python -m tests.store.writing_process FILE NAME TASKS EACH`: that many tasks write that many rows each, in one
transaction a row with a counter beside it, and print the text of each row once its transaction has ended.
"""

import asyncio
import sys

from backstay.errors import Unavailable
from backstay.store.sqlite import SQLiteStore


async def main(file: str, name: str, tasks: int, each: int) -> None:
    store = SQLiteStore(file)
    await store.open()

    async def work(task: int) -> None:
        for number in range(each):
            text = f"{name}.{task}.{number}"
            while True:
                try:
                    async with store.transaction() as tx:
                        await tx.run("UPDATE counts SET n = n + 1 WHERE name = ?", (name,))
                        await tx.run("INSERT INTO notes(text) VALUES (?)", (text,))
                        if number % 5 == 4:
                            raise LookupError
                except LookupError:
                    break
                except Unavailable:
                    continue  # told that it was not made, and so made again
                print(text, flush=True)
                break

    await asyncio.gather(*(work(task) for task in range(tasks)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
