"""What accounts keep beside the user: ordinary models, hidden from every protocol and without a single rule.

Invariant: no secret is stored, only what proves one: the Argon2id hash of a password, the SHA-256 of a token.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import annotated_types as at

from backstay.model.declare import Model, User
from backstay.model.field import Index
from backstay.model.rule import index, on_delete, unique
from backstay.model.value import Format


class AccountCredential(Model):
    """The password of a user."""

    user: Annotated[User, on_delete("cascade")]
    password_hash: Annotated[str, at.Len(1, 500)]

    def indexes(self) -> list[Index]:
        return [unique(self.user)]


class AccountSignIn(Model):
    """One sign-in, the session of a person on one device: what all its tokens depend on."""

    __revoking__ = ("ended_at",)

    user: Annotated[User, on_delete("cascade")]
    expires_at: datetime
    refreshed_at: datetime | None = None
    ended_at: datetime | None = None

    def indexes(self) -> list[Index]:
        return [index(self.expires_at)]


class AccountToken(Model):
    """One pair of a sign-in: an access token with its end, and the refresh token that is spent for the next pair."""

    session: Annotated[AccountSignIn, on_delete("cascade")]
    # Hexadecimal digits are a slug, and a slug has no folded copy beside it.
    token_hash: Annotated[str, Format("slug"), at.Len(64, 64)]
    refresh_hash: Annotated[str, Format("slug"), at.Len(64, 64)]
    expires_at: datetime
    spent_at: datetime | None = None

    def indexes(self) -> list[Index]:
        return [unique(self.token_hash), unique(self.refresh_hash), index(self.expires_at), index(self.spent_at)]


class AccountKey(Model):
    """An API key: a program acts for a user with it, as far as its scopes go."""

    __revoking__ = ("ended_at", "expires_at", "scopes")

    user: Annotated[User, on_delete("cascade")]
    name: Annotated[str, at.Len(1, 100)]
    start: Annotated[str, at.Len(8, 8)]
    """How the key begins, for its owner to tell it from others."""
    key_hash: Annotated[str, Format("slug"), at.Len(64, 64)]
    scopes: list[str]
    expires_at: datetime | None = None
    used_at: datetime | None = None
    ended_at: datetime | None = None

    def indexes(self) -> list[Index]:
        return [unique(self.key_hash), index(self.ended_at), index(self.expires_at)]


class AccountKnock(Model):
    """Somebody tried to open an account with the address of this user, who is told by mail."""

    user: Annotated[User, on_delete("cascade")]

    def indexes(self) -> list[Index]:
        return [index(self.created_at)]


HIDDEN: tuple[type[Model], ...] = (AccountCredential, AccountSignIn, AccountToken, AccountKey, AccountKnock)
"""For `declare(models, hidden=HIDDEN)`: every application with accounts has them."""
