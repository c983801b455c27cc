"""Accounts: opening one, signing in and out, and what the command line does to them.

Invariant: an answer tells nobody whether an address has an account. A sign-up ends alike for a free and for a taken
address, a log-in fails alike for a wrong password, an unknown address and a disabled account, after the same work;
hashing is done before a transaction begins.
"""

from __future__ import annotations

import asyncio
import copy
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from time import monotonic as monotonic_seconds
from typing import Any

import msgspec

from backstay.auth.address import canonical_address
from backstay.auth.form import Opening, parse_change, parse_entry, parse_opening, parse_refresh, refuse
from backstay.auth.gate import Gate
from backstay.auth.identify import Find, Identities
from backstay.auth.key import Keys
from backstay.auth.models import AccountCredential, AccountKnock
from backstay.auth.password import Passwords, check_password
from backstay.auth.person import person
from backstay.auth.purge import Purge
from backstay.auth.session import HOLDER, Holder, Pair, Sessions, Sitting, holding
from backstay.auth.token import Purpose, purpose_of
from backstay.auth.tries import Tries
from backstay.errors import Conflict, Denied, FieldError, Invalid, NotFound, NotSignedIn, Problem
from backstay.model.declare import Model
from backstay.model.predicate import Compare, Path, Slot
from backstay.model.value import Unfit
from backstay.plan.actor import SYSTEM, Actor
from backstay.plan.ask import Ask, Create, Listing, Nested, One, Selection, Update
from backstay.store.engine import Engine
from backstay.store.repeat import Attempt
from backstay.store.transaction import Hooks, Transaction
from backstay.telemetry.observation import Journal, Unheard

PURGED_EVERY = 100
CREDENTIAL, KNOCK = AccountCredential.__name__, AccountKnock.__name__
_ID = Selection(False, (("id", "id"),))
_BY_ADDRESS = Compare("eq", Path(("user", "email")), Slot(0, "email"))
_SAME_HASH = Compare("eq", Path(("password_hash",)), Slot(0, "password_hash"))
_BY_USER = Compare("eq", Path(("user", "id")), Slot(0, "user"))
_WITH_ADDRESS = Nested("user", "user", replace(HOLDER.selection, fields=(*HOLDER.selection.fields, ("email", "email"))))


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The outcome of a log-in: the user as JSON (as they may see themself), and the tokens of the session."""

    user_id: str
    user: bytes
    tokens: Pair

    @property
    def access_token(self) -> str:
        """The bearer token."""
        return self.tokens.access_token

    def __repr__(self) -> str:
        return f"SignedIn({self.user_id!r})"


class _Addressed(Holder, frozen=True):
    email: str


class _Credential(msgspec.Struct, frozen=True):
    id: str
    password_hash: str
    user: _Addressed


_NOBODY = msgspec.json.encode(
    _Credential("0" * 36, "$argon2id$" + "0" * 88, _Addressed("0" * 36, [], False, "nobody@example.com"))
)
_AS_MANY = 4
"""How many statements more it takes to try an account whose address is taken, than to open one, where the owner of the
address is put out of the way by one statement."""
_WRITTEN = 2
"""How many statements more it takes to write a mail, than to find that there is one."""


NO_ACCOUNTS = "This application has a log-in of its own (App(identify=...)): its accounts are made there."


class OwnLogIn:
    """Stands where the accounts of an application would be that has a log-in of its own."""

    async def create_user(self, email: str, password: str, roles: list[str], **values: Any) -> str:
        """Raises `RuntimeError`: accounts are made elsewhere."""
        raise RuntimeError(NO_ACCOUNTS)


class _Undone(Exception):
    """Takes back what was only tried."""


class Accounts:
    """The accounts of one application. One object a process; `close` it at the end.

    Its models (`auth.models.HIDDEN`) must be part of the engine's schema. It adds a hook before those of the
    application, so that every address is stored in its one canonical form, whoever writes it. With `mails` the owner of
    an address is written to when an account is opened with it, and when somebody tries to open another.
    """

    def __init__(
        self, engine: Engine, hooks: Hooks, new_id: Callable[[], str], *,
        lifetime: timedelta = timedelta(days=30), access: timedelta = timedelta(minutes=15),
        passwords: Passwords | None = None, actions: Collection[str] = (), tries: Tries | None = None,
        mails: bool = False, monotonic: Callable[[], float] = monotonic_seconds, journal: Journal | None = None,
    ) -> None:  # fmt: skip
        self.passwords = passwords or Passwords()
        self.sessions = Sessions(engine, new_id, lifetime, access)
        self.keys = Keys(engine, self._transaction, self._forget, new_id, actions, monotonic)
        finders: dict[Purpose, Find] = {"access": self.sessions.recognise, "key": self.keys.recognise}
        self.identities = Identities(engine, finders, monotonic)
        self.purge = Purge(engine, lifetime)
        self._purging: asyncio.Task[None] | None = None
        self.gate = Gate(self.sessions, engine.schema.user.name)
        self._tries = tries
        self._mails = mails
        self._journal = journal or Unheard()
        self._engine = engine
        self._hooks = hooks
        self._new_id = new_id
        self._user = engine.schema.user
        self._attempt: Attempt | None = None
        for moment in ("before_create", "before_update"):
            hooks.by_moment.setdefault((moment, self._user.name), []).insert(0, _keep_canonical)

    async def settle(self) -> None:
        """Wait until everything is done that nobody waited for."""
        await self.keys.settle()
        if self._purging is not None:
            await self._purging

    def close(self) -> None:
        """End the threads that hash passwords."""
        self.passwords.close()

    def of(self, attempt: Attempt | None) -> Accounts:
        """These accounts for one request: where that carries a key, what they write is done once for it."""
        if attempt is None:
            return self
        carrying = copy.copy(self)
        carrying._attempt = attempt
        carrying.keys = self.keys.through(carrying._transaction)
        return carrying

    # For everybody.

    async def signup(self, body: Mapping[str, Any], client: str = "", language: str = "") -> None:
        """Open an account from `{"email", "password", ...}`; the person then logs in. Says nothing on purpose.

        Own fields of the user class may be sent where their owner may set them. Hooks of the user class run with
        system authority, and `tx.me` is the new user. `language` is what the request accepts, in which they are written
        to where they say no other. Where the address is taken, all of it is tried and taken
        back, so that a hook, or another value that is taken, refuses both alike. Raises `BadRequest`
        `unknown_field`, `Invalid`, `Conflict` for a value other than the address, `Unavailable`.
        Ten round trips and two more to begin and to commit; one more for each relation that is sent, and four where
        mail is sent.
        """
        opening = parse_opening(body, self._engine.schema, self._engine.limits, self._new_id())
        if self._tries is not None:
            await self._tries.sign_up(opening.email, client)
        await self._check_links(opening)
        password_hash = await self.passwords.hash(opening.password)
        try:
            if (owner := await self._find(opening.email)) is None:
                await self._open(opening, password_hash, language)
            else:
                await self._rehearse(owner, opening, password_hash)
                await self._knock(owner, opening)
        finally:
            await self.passwords.blur()

    async def login(self, body: Mapping[str, Any], client: str = "") -> SignedIn:
        """Sign in with `{"email", "password"}`. Raises `NotSignedIn` `invalid_credentials`, whatever is wrong.

        Six round trips and two more to begin and to commit; a failure takes one, and always one hashing.
        Raises `BadRequest` `unknown_field` and `Invalid` for another body, `Unavailable` where too many wait.
        """
        entry = parse_entry(body)
        if self._tries is not None:
            try:
                await self._tries.log_in(entry.email, client)
            except Problem as refused:
                if refused.code == "too_many_requests":
                    self._journal.event("sign_in_refused", why="too_many", client=client)
                raise
        known = there = await self._credential(_BY_ADDRESS, entry.email or "")
        if known is not None and (known.user.disabled or entry.password is None):
            known = None
        right = await self.passwords.verify(known.password_hash if known else None, entry.password or "")
        if known is None or not right:
            self._tell_refused(there, client)
            await self.passwords.blur()
            raise _wrong_entry()
        newer = await self._newer(known, entry.password or "")
        async with self._transaction(known.user.id) as tx:
            tokens = await self.gate.admit(tx, known.user.id, partial(_unchanged, tx, known))
            if tokens is not None and newer is not None:
                await self._replace(tx, known, newer)
        if tokens is None:  # disabled, or given another password, since it was looked at
            self._tell_refused(known, client)
            raise _wrong_entry()
        self._journal.event("signed_in", user=known.user.id, session=tokens.session, client=client)
        self._purge_sometimes()
        actor = Actor(known.user.id, frozenset(known.user.roles), session=tokens.session)
        return SignedIn(known.user.id, await self.me(actor), tokens)

    async def refresh(self, body: Mapping[str, Any], client: str = "") -> Pair:
        """A new pair for `{"refresh_token"}`, which is spent by it. Raises `NotSignedIn` `invalid_token`.

        A token that was spent gives another pair of the same session for ten seconds more, since two tabs may
        refresh at once; after that it ends the session, because somebody else has it.
        """
        token = parse_refresh(body)
        if self._tries is not None:
            await self._tries.refresh(client)
        known = await self.sessions.renewable(token)
        async with self._transaction(known.session.user.id) as tx:
            pair = await self.sessions.renew(tx, known)
        if pair is None:
            user, session = known.session.user.id, known.session.id
            self._journal.event("token_reused", user=user, session=session, client=client)
            self.identities.forget(user)
            raise NotSignedIn(code="invalid_token")
        self._purge_sometimes()
        return pair

    async def identify(self, token: str) -> Actor:
        """Who holds this token, or acts with this API key. Raises `NotSignedIn` `invalid_token`.

        Seldom a round trip (`Identities`).
        """
        actor = await self.identities.identify(token)
        if actor.key:
            self.keys.note(actor.key)
        return actor

    async def identify_session(self, token: str) -> Actor:
        """Who holds this access token, and nothing else: an API key in a cookie is none. Raises like `identify`."""
        if purpose_of(token) != "access":
            raise NotSignedIn(code="invalid_token")
        return await self.identities.identify(token)

    async def leave(self, access: str | None, refresh: str | None) -> None:
        """End the session that either of these tokens is of, if it is still there; either may have ended before it."""
        try:
            user, session = await self._sitting(access, refresh)
        except NotSignedIn:
            return
        with suppress(NotFound):
            async with self._transaction(user) as tx:
                await self.sessions.end_own(tx, user, session)
        self.identities.forget(user)

    async def _sitting(self, access: str | None, refresh: str | None) -> tuple[str, str]:
        """The user and the session of either token."""
        with suppress(NotSignedIn):
            actor = await self.identify_session(access or "")
            return str(actor.id), actor.session
        known = await self.sessions.renewable(refresh or "")
        return known.session.user.id, known.session.id

    async def logout(self, token: str) -> None:
        """End the session of this token, at once here and within a second elsewhere. Raises `NotSignedIn`."""
        actor = await self.identify(token)
        user = person(actor)
        async with self._transaction(user) as tx:
            await self.sessions.end(tx, actor.session)
        self.identities.forget(user)

    async def me(self, actor: Actor) -> bytes:
        """The signed-in user as JSON, as they may see themself; `{"id"}` where no rule lets them. One round trip."""
        if actor.id is None:
            raise NotSignedIn()
        try:
            (found,) = await self._engine.read(Ask((One(self._user.name, Slot(0, "id")),), (actor.id,)), actor)
        except (NotSignedIn, Denied):
            return msgspec.json.encode({"id": actor.id})
        return found.one or msgspec.json.encode({"id": actor.id})

    # For the signed-in.

    async def own_sessions(self, actor: Actor) -> list[Sitting]:
        """The sessions of the signed-in user that are alive, the newest first. One round trip."""
        person(actor)
        return await self.sessions.own(actor)

    async def end_session(self, actor: Actor, session: str) -> None:
        """End one session of the signed-in user. Raises `NotFound`, also for the session of somebody else."""
        user = person(actor)
        async with self._transaction(user) as tx:
            await self.sessions.end_own(tx, user, session)
        self.identities.forget(user)

    async def end_other_sessions(self, actor: Actor) -> None:
        """End every session of the signed-in user but the one they ask with."""
        user = person(actor)
        async with self._transaction(user) as tx:
            await self.sessions.end_all(tx, user, but=actor.session)
        self.identities.forget(user)

    async def change_password(self, actor: Actor, body: Mapping[str, Any]) -> None:
        """Choose another password with `{"current_password", "new_password"}`; all other sessions end.

        Raises `NotSignedIn`, `BadRequest` `unknown_field`, `Invalid` for a new password that may not be chosen or a
        current one that is wrong, `Unavailable`. Nothing is held while hashing.
        """
        user = person(actor)
        if self._tries is not None:
            await self._tries.change_password(user)
        known = await self._credential(_BY_USER, user)
        current, chosen = parse_change(body, known.user.email if known else "")
        right = await self.passwords.verify(known.password_hash if known else None, current)
        if known is None or not right:
            raise _wrong_password()
        password_hash = await self.passwords.hash(chosen)
        async with self._transaction(user) as tx:
            await tx.hold(self._user.name, user)  # a log-in that is under way ends first, and its session with it
            if not await self._replace(tx, known, password_hash):
                raise _wrong_password()  # it was changed meanwhile
            await self.sessions.end_all(tx, user, but=actor.session)
        self.identities.forget(user)

    # For the command line and own code: no rule applies.

    async def create_user(self, email: str, password: str | None, roles: Sequence[str] = (), **fields: Any) -> str:
        """Make an account, with roles; the only way to a first administrator. Returns the id of the user.

        Without a password nobody can sign in to it yet. Raises `Invalid`, and `Conflict` where it exists.
        """
        errors: list[FieldError] = []
        address = _address(email, errors)
        try:
            password_hash = None if password is None else check_password(password, address)
        except Unfit as unfit:
            errors.append(FieldError("password", unfit.code, f"{unfit}."))
        refuse(errors)
        password_hash = None if password is None else await self.passwords.hash(password)
        key = self._new_id()
        async with self._transaction(key) as tx:
            await self._add(tx, key, {**fields, "email": address, "roles": list(roles)}, password_hash)
        return key

    async def set_roles(self, email: str, roles: Sequence[str]) -> None:
        """Give a user exactly these roles; seen everywhere within a second. Raises `NotFound`."""
        await self._change(email, {"roles": list(dict.fromkeys(roles))})

    async def disable(self, email: str, disabled: bool = True) -> None:
        """Shut an account and end its sessions, or open it again. Raises `NotFound`."""
        await self._change(email, {"disabled": disabled})

    async def named(self, email: str) -> str:
        """The id of the user with an address. Raises `Invalid` where it is none, and `NotFound`."""
        errors: list[FieldError] = []
        address = _address(email, errors)
        refuse(errors)
        if (user := await self._find(address)) is None:
            raise NotFound(f"There is no account {address}.")
        return user

    async def _change(self, email: str, values: Mapping[str, Any]) -> None:
        user = await self.named(email)
        async with self._transaction() as tx:
            await tx.write(Update(self._user.name, user, values))
            if values.get("disabled"):
                await self.sessions.end_all(tx, user)
        self.identities.forget(user)

    # Parts.

    def _tell_refused(self, known: _Credential | None, client: str) -> None:
        """Tell of a log-in that failed; the address that was typed may be a password, and is not told."""
        user, disabled = (known.user.id, known.user.disabled) if known is not None else ("", False)
        self._journal.event("sign_in_refused", why="disabled" if disabled else "credentials", user=user, client=client)

    def _purge_sometimes(self) -> None:
        """With every hundredth pair take away what is over, behind the answer: so it never grows beyond what is new."""
        if self.sessions.issued % PURGED_EVERY == 0 and (self._purging is None or self._purging.done()):
            self._purging = asyncio.create_task(self._purge_some())

    async def _purge_some(self) -> None:
        with suppress(Problem):  # another hundred brings the next
            await self.purge.some()

    def _forget(self, user: str) -> None:
        self.identities.forget(user)

    @asynccontextmanager
    async def _transaction(self, user: str | None = None) -> AsyncIterator[Transaction]:
        actor = Actor(user, system=True)
        async with Transaction.begin(self._engine, actor, self._hooks, self._new_id, self._attempt) as tx:
            yield tx

    async def _add(self, tx: Transaction, key: str, values: Mapping[str, Any], password_hash: str | None) -> None:
        await tx.write(Create(self._user.name, values, key))
        if password_hash is not None:
            await tx.write(Create(CREDENTIAL, {"user": key, "password_hash": password_hash}))

    async def _open(self, opening: Opening, password_hash: str, language: str) -> None:
        """Make the account; as many statements as it takes to try one whose address is taken."""
        try:
            async with self._transaction(opening.key) as tx:
                await self._add(tx, opening.key, {**opening.values, "email": opening.email}, password_hash)
                moved_by_one = self._engine.store.dialect.logs_inside and "email" not in self._user.search
                for _ in range(_AS_MANY + (not moved_by_one) + self._mails):
                    await tx.hold(self._user.name, opening.key)
                if self._mails:
                    about, spoken = f"welcome:{opening.key}", str(opening.values.get("language") or language)
                    await tx.mail("welcome", to=opening.email, about=about, language=spoken)
        except Conflict as conflict:  # somebody was quicker with the same address
            if not any(error.path == "email" for error in conflict.errors):
                raise

    async def _knock(self, owner: str, opening: Opening) -> None:
        """Keep that somebody tried to open an account with the address of this user, who is told once a day."""
        with suppress(Invalid, NotFound):  # who had the address is gone since
            async with self._transaction(opening.key) as tx:
                await tx.write(Create(KNOCK, {"user": owner}))
                if not self._mails:
                    return
                spoken = str(getattr(await tx.get(self._user.model, owner), "language", "") or "")
                about = f"account_knock:{owner}:{self._engine.clock():%Y-%m-%d}"
                if not await tx.mail("account_knock", to=opening.email, about=about, language=spoken):
                    for _ in range(_WRITTEN):
                        await tx.hold(self._user.name, owner)

    async def _rehearse(self, owner: str, opening: Opening, password_hash: str) -> None:
        """Try the account with the owner of its address out of the way, and take everything back."""
        _, _, domain = opening.email.rpartition("@")
        elsewhere = f"{secrets.token_hex(16)}@{domain[-200:].lstrip('.-')}"
        try:
            async with self._engine.store.transaction() as writing:
                async with Transaction.within(self._engine, writing, SYSTEM, Hooks(), self._new_id) as quiet:
                    await quiet.write(Update(self._user.name, owner, {"email": elsewhere}))
                actor = Actor(opening.key, system=True)
                async with Transaction.within(self._engine, writing, actor, self._hooks, self._new_id) as tx:
                    await self._add(tx, opening.key, {**opening.values, "email": opening.email}, password_hash)
                raise _Undone
        except (_Undone, NotFound):
            return

    async def _check_links(self, opening: Opening) -> None:
        """What a new user refers to must be visible to them, as for every other write."""
        errors = []
        for name, value in opening.values.items():
            target = self._user.fields[name].target
            if target is None or value is None:
                continue
            try:
                ask = Ask((One(target.name, Slot(0, name), _ID),), (value,))
                (found,) = await self._engine.read(ask, Actor(opening.key))
                seen = found.one is not None
            except (NotSignedIn, Denied):
                seen = False
            if not seen:
                errors.append(FieldError(name, "not_found", "names no record that you can see."))
        refuse(errors)

    async def _find(self, address: str) -> str | None:
        """The id of the user with a canonical address."""
        listing = Listing(self._user.name, _ID, Compare("eq", Path(("email",)), Slot(0, "email")))
        (found,) = await self._engine.read(Ask((listing,), (address,)), SYSTEM)
        return str(msgspec.json.decode(found.one)["id"]) if found.one is not None else None

    async def _credential(self, where: Compare, value: str) -> _Credential | None:
        """The password of a user, found by a canonical address or an id."""
        selection = Selection(False, (("id", "id"), ("password_hash", "password_hash")), (_WITH_ADDRESS,))
        (found,) = await self._engine.read(Ask((Listing(CREDENTIAL, selection, where),), (value,)), SYSTEM)
        read = msgspec.json.decode(found.one or _NOBODY, type=_Credential)  # the same work for what is not there
        return read if found.one is not None else None

    async def _newer(self, known: _Credential, password: str) -> str | None:
        """The hash of a password that was hashed with other parameters than today's."""
        return await self.passwords.hash(password) if self.passwords.outdated(known.password_hash) else None

    async def _replace(self, tx: Transaction, known: _Credential, password_hash: str) -> bool:
        """Store another hash in the place of the known one; false where that is not there any more."""
        values = {"password_hash": password_hash}
        return await holding(tx, Update(CREDENTIAL, known.id, values, _SAME_HASH, (known.password_hash,)))


async def _unchanged(tx: Transaction, known: _Credential) -> bool:
    """Whether a password is still the one that was checked."""
    return await tx.hold(CREDENTIAL, known.id, _SAME_HASH, (known.password_hash,))


def _wrong_entry() -> NotSignedIn:
    return NotSignedIn("The email address or the password is wrong.", code="invalid_credentials")


def _wrong_password() -> Invalid:
    said = "is not your password."
    return Invalid(f'"current_password" {said}', errors=[FieldError("current_password", "wrong_password", said)])


def _address(email: object, errors: list[FieldError]) -> str:
    try:
        return canonical_address(email)
    except Unfit as unfit:
        errors.append(FieldError("email", unfit.code, f"{unfit}."))
        return ""


async def _keep_canonical(_: Transaction, user: Model, *__: Model) -> None:
    """Before every write of a user: the address in its one form."""
    errors: list[FieldError] = []
    written = user.__dict__.get("email")
    address = _address(written, errors) if written is not None else None
    refuse(errors)
    if address != written:
        user.__dict__["email"] = address
