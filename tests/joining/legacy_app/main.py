"""Its routes, and its log-in by cookie."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import parse_qsl

import sqlalchemy as sa
from fastapi import Cookie, Depends, FastAPI, HTTPException, Request, Response, WebSocket
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from tests.joining.legacy_app.models import Member, Post, Status, Visit


def hashed(password: str) -> str:
    """What is kept of a password. An application that is old enough has something like this."""
    return hashlib.scrypt(password.encode(), salt=b"legacy", n=16, r=8, p=1).hex()


async def form(request: Request) -> dict[str, str]:
    """The fields of a form as browsers send it."""
    return dict(parse_qsl((await request.body()).decode()))


def create_app(database: str) -> FastAPI:
    """The application over a database."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        engine = create_async_engine(database)
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        app.state.running = True
        yield {"greeting": "Welcome"}
        app.state.running = False
        await engine.dispose()

    app = FastAPI(title="Blog", lifespan=lifespan, docs_url="/blog/docs", openapi_url="/blog/openapi.json")

    async def session() -> AsyncIterator[AsyncSession]:
        async with app.state.sessions() as opened:
            yield opened

    Session = Annotated[AsyncSession, Depends(session)]

    async def signed_in(db: Session, visit: Annotated[str | None, Cookie()] = None) -> Member:
        member = await member_of(db, visit)
        if member is None:
            raise HTTPException(401, "Please log in.")
        return member

    @app.get("/")
    async def home(request: Request) -> dict[str, str]:
        return {"says": request.state.greeting}

    @app.post("/login")
    async def login(db: Session, response: Response, sent: Annotated[dict[str, str], Depends(form)]) -> dict[str, str]:
        if not {"email", "password"} <= sent.keys():
            raise HTTPException(422, "Send both.")
        member = await db.scalar(sa.select(Member).where(Member.email == sent["email"]))
        if member is None or member.password_hash != hashed(sent["password"]):
            raise HTTPException(403, "That is not right.")
        visit = Visit(id=secrets.token_hex(16), member_id=member.id)
        db.add(visit)
        await db.commit()
        response.set_cookie("visit", visit.id, httponly=True, samesite="lax")
        return {"hello": member.name}

    @app.get("/posts")
    async def posts(db: Session) -> list[dict[str, object]]:
        found = await db.scalars(sa.select(Post).where(Post.status == Status.PUBLISHED).order_by(Post.id))
        return [{"id": post.id, "title": post.title} for post in found]

    @app.post("/posts", status_code=201)
    async def write(
        db: Session, member: Annotated[Member, Depends(signed_in)], sent: Annotated[dict[str, str], Depends(form)]
    ) -> dict[str, object]:
        post = Post(title=sent["title"], author_id=member.id, status=Status.PUBLISHED)
        db.add(post)
        await db.commit()
        return {"id": post.id, "title": post.title}

    @app.get("/broken")
    async def broken() -> None:
        raise HTTPException(418, "I am a teapot.")

    @app.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(f"You said {await socket.receive_text()}")
        await socket.close()

    return app


async def member_of(db: AsyncSession, visit: str | None) -> Member | None:
    """Whose cookie it is."""
    if visit is None:
        return None
    return await db.scalar(sa.select(Member).join(Visit, Visit.member_id == Member.id).where(Visit.id == visit))
