"""An application with two faults: one action breaks, and one never answers well."""

from __future__ import annotations

from backstay import App, Conflict, Context, anyone

app = App("faulty", models=[])


@app.action("GET /api/sound", allow=anyone)
async def sound(ctx: Context) -> int:
    return 1


@app.action("GET /api/broken", allow=anyone)
async def broken(ctx: Context) -> int:
    raise RuntimeError("planted")


@app.action("GET /api/never", allow=anyone)
async def never(ctx: Context) -> int:
    raise Conflict("Never.")
