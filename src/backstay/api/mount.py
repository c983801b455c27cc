"""Other applications beside this one: those mounted inside it, and this one mounted inside another.

Invariant: a mounted application is left alone. It is started and stopped with this one, gets every request that is
not ours as it came, with the address it is mounted at in `root_path`, and what it answers or raises is its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

ASGI: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application: FastAPI, Starlette, or any other."""


class DidNotStart(RuntimeError):
    """A mounted application said that it cannot start; the text is its own."""


class Mount:
    """One application at a path, and its lifespan."""

    def __init__(self, path: str, app: ASGI) -> None:
        if not path.startswith("/") or not callable(app):
            raise ValueError(f'mount="{path}" takes an ASGI application at a path that begins with /.')
        self.prefix = path.rstrip("/")
        self.app = app
        self._state: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._inbox: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._said: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()

    def covers(self, path: str) -> bool:
        """Whether an address lies under it."""
        return path == self.prefix or path.startswith(f"{self.prefix}/")

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """One request or connection of the mounted application."""
        root = scope.get("root_path", "").rstrip("/")
        state = {**(scope.get("state") or {}), **self._state}
        await self.app({**scope, "root_path": root + self.prefix, "state": state}, receive, send)

    async def start(self) -> None:
        """Run its startup. Raises `DidNotStart` with what it says; one that has no lifespan needs none."""
        self._task = asyncio.create_task(self._live(), name=f"lifespan of {self.prefix or '/'}")
        answer = await self._asked({"type": "lifespan.startup"})
        if answer["type"] != "lifespan.startup.complete":
            await self._end()
        if answer["type"] == "lifespan.startup.failed":
            said = answer.get("message", "")
            raise DidNotStart(f"The application mounted at {self.prefix or '/'} did not start.\n{said}".rstrip())

    async def stop(self) -> str:
        """Run its shutdown; returns what it says where that failed."""
        if self._task is None or self._task.done():
            return ""
        answer = await self._asked({"type": "lifespan.shutdown"})
        await self._end()
        return str(answer.get("message") or "it failed") if answer["type"] == "lifespan.shutdown.failed" else ""

    async def _live(self) -> None:
        """The one task in which its lifespan runs, from the first message to the last."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self.app(scope, self._inbox.get, self._said.put)
        finally:
            await self._said.put({"type": "gone"})  # it does without a lifespan, or has said what is wrong

    async def _asked(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        await self._inbox.put(message)
        return await self._said.get()

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Mounts:
    """The mounted applications, the longest path first."""

    def __init__(self, apps: Mapping[str, ASGI] | None = None) -> None:
        self.all: list[Mount] = []
        for path, app in (apps or {}).items():
            self.add(path, app)

    def add(self, path: str, app: ASGI) -> None:
        """Mount an application. Raises `ValueError` where one is mounted there already."""
        mount = Mount(path, app)
        if any(known.prefix == mount.prefix for known in self.all):
            raise ValueError(f"There is an application mounted at {path} already.")
        self.all = sorted([*self.all, mount], key=lambda one: -len(one.prefix))

    def of(self, path: str) -> Mount | None:
        """The application that an address belongs to."""
        return next((mount for mount in self.all if mount.covers(path)), None)

    async def start(self) -> None:
        """Start all of them; where one does not start, those that did are stopped."""
        for position, mount in enumerate(self.all):
            try:
                await mount.start()
            except BaseException:
                for started in self.all[:position]:
                    await started.stop()
                raise

    async def stop(self) -> None:
        """Stop all of them. Raises `RuntimeError` with what those say that failed to."""
        wrong = [(mount.prefix or "/", said) for mount in reversed(self.all) if (said := await mount.stop())]
        if wrong:
            raise RuntimeError("\n".join(f"The application mounted at {at} did not stop: {said}" for at, said in wrong))


def route_path(scope: Mapping[str, Any]) -> str:
    """The address inside this application: what stands behind `root_path`, as ASGI has it."""
    root, path = scope.get("root_path", "").rstrip("/"), str(scope["path"])
    if root and (path == root or path.startswith(f"{root}/")):
        return path[len(root) :] or "/"
    return path
