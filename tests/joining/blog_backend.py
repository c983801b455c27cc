"""What is written to let the blog join: its log-in, and two of its classes with rules. This is all there is."""

from __future__ import annotations

from fastapi import FastAPI

from backstay import Actor, App, Caller, Rules, anyone, current_user, signed_in
from tests.joining.legacy_app.main import member_of
from tests.joining.legacy_app.models import Comment, Member, Post, Status


def post_rules(post: Post, me: Member) -> Rules:
    """What is published is for all, the rest for whoever writes it."""
    mine = post.author_id == me.id
    return Rules(read=(post.status == Status.PUBLISHED) | mine, create=signed_in & mine, update=mine, delete=mine)


def comment_rules(comment: Comment, me: Member) -> Rules:
    """Comments follow their posts."""
    visible = (comment.post.status == Status.PUBLISHED) | (comment.post.author_id == me.id)
    mine = comment.author_id == me.id
    return Rules(read=visible, create=signed_in & visible & mine, delete=mine | (comment.post.author_id == me.id))


def joined_app(blog: FastAPI) -> App:
    """The blog inside Backstay."""

    async def who(caller: Caller) -> Actor | None:
        async with blog.state.sessions() as db:
            member = await member_of(db, caller.cookies.get("visit"))
        return None if member is None else Actor(member.id, frozenset({"editor"} if member.editor else ()))

    app = App("blog", user=Member, identify=who, mount={"/": blog})
    app.expose(Post, rules=post_rules, defaults={"author_id": current_user()})
    app.expose(Comment, rules=comment_rules, defaults={"author_id": current_user()})
    return app


__all__ = ["anyone", "joined_app"]
