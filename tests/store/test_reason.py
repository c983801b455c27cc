"""Why somebody may or may not: each clause is answered as the rule is, and the whole as requests are."""

from typing import Any

import pytest

from backstay import App, Conflict, Context, Many, Model, Rules, User, current_user, field, new, not_, old, role
from backstay.testing import Person, Trial


class Note(Model):
    text: str
    cost: int = 0
    owner: User = current_user()
    tags: Many["Tag"]

    def rules(self, me: User) -> Rules:
        mine = self.owner == me
        return Rules(
            read=mine | me.has_role("staff"),
            create=me.signed_in,
            update=mine & (self.cost < 5) & (new(self.cost) >= old(self.cost)),
            delete=not_(mine) & me.has_role("staff") & self.tags.none(),
            fields=[field(self.cost, read=me.has_role("staff"))],
        )


class Tag(Model):
    note: Note
    name: str

    def rules(self, me: User) -> Rules:
        return Rules(read=self.note.owner == me, create=self.note.owner == me)


app = App("notes", models=[Note, Tag])


@app.action("POST /api/close", allow=role("staff"))
async def close(ctx: Context) -> None:
    raise Conflict("no")


@pytest.fixture
async def t() -> Any:
    async with Trial(app) as trial:
        yield trial


async def noted(t: Trial, owner: Person, **values: Any) -> Any:
    key = (await t.post("/api/notes", {"text": "x", **values}, as_=owner)).ok().json["id"]
    async with t.transaction() as tx:
        return await tx.get(Note, key)


async def test_each_clause_has_its_answer(t: Trial) -> None:
    ada, bob = await t.user("ada@example.com"), await t.user("bob@example.com", roles=["staff"])
    note = await noted(t, ada)
    found = await t.why(ada, "read", note)
    assert found.verdict == "allowed"
    assert found.lines == [
        f"ada@example.com may read Note {note.id}.",
        "  ✓ (self.owner == me) | me.has_role('staff')",
        "    ✓ self.owner == me",
        "    ✗ me.has_role('staff')",
        "Hidden fields: cost.",
    ]
    found = await t.why(bob, "update", note)
    assert found.verdict == "denied"
    assert [part.holds for part in found.rule.parts] == [False, True, None]
    assert found.hidden == ()
    found = await t.why(ada, "update", note)
    assert found.verdict == "depends"
    assert found.said == f"ada@example.com may, depending on the record, update Note {note.id}."
    assert (await t.why(bob, "delete", note)).verdict == "allowed"
    await t.post("/api/tags", {"note": str(note.id), "name": "a"}, as_=ada)
    found = await t.why(bob, "delete", note)
    assert [part.holds for part in found.rule.parts] == [True, True, False]


async def test_who_may_not_read_is_told_that_it_is_not_there(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    found = await t.why(None, "delete", await noted(t, ada))
    assert (found.verdict, found.visible) == ("denied", False)
    assert found.lines[-1] == "Who may not read it is not told that it exists."
    assert [part.holds for part in found.rule.parts] == [False, False, True]


async def test_a_new_record_and_one_that_is_not_there(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    assert (await t.why(None, "create", Note)).verdict == "denied"
    assert (await t.why(ada, "create", Note)).verdict == "allowed"
    assert (await t.why(ada, "create", Tag)).verdict == "depends"
    note = await noted(t, ada)
    async with t.transaction() as tx:
        await tx.delete(note)
    assert (await t.why(ada, "read", note)).said == f"There is no Note {note.id}."


async def test_it_says_what_requests_are_answered(t: Trial) -> None:
    """For every viewer and action, over records of every kind: allowed is a success, denied is a refusal."""
    people = [None, await t.user("ada@example.com"), await t.user("bob@example.com", roles=["staff"])]
    for owner in (people[1], people[2]):
        assert owner is not None
        for cost in (0, 9):
            for viewer in people:
                note = await noted(t, owner)
                async with t.transaction() as tx:
                    await tx.update(note, cost=cost)
                path = f"/api/notes/{note.id}"
                said = {action: (await t.why(viewer, action, note)).verdict for action in ("read", "update", "delete")}  # type: ignore[arg-type]
                told = {
                    "read": (await t.get(path, as_=viewer)).status,
                    "update": (await t.patch(path, {"text": "y"}, as_=viewer)).status,
                    "delete": (await t.delete(path, as_=viewer)).status,
                }
                for action, verdict in said.items():
                    assert (verdict in ("allowed", "depends")) == (told[action] < 300), (action, viewer, cost, told)


async def test_in_development_the_problem_says_why(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    note, eve = await noted(t, ada), await t.user("eve@example.com")
    why = (await t.get(f"/api/notes/{note.id}", as_=eve)).refused("not_found").json["why"]
    assert why[0] == f"You may not read Note {note.id}."
    assert "    ✗ self.owner == me" in why
    why = (await t.post("/api/notes", {"text": "x"})).refused("not_signed_in").json["why"]
    assert why == ["You may not create Note.", "  ✗ me.signed_in"]
    why = (await t.post("/api/close", as_=ada)).refused("denied").json["why"]
    assert why == ["POST /api/close is allowed to: me.has_role('staff')."]
    absent = (await t.get("/api/notes/01890a5d-ac96-774b-bcce-b302099a8057", as_=eve)).refused("not_found").json["why"]
    assert absent == ["There is no Note 01890a5d-ac96-774b-bcce-b302099a8057."]
    assert "why" not in (await t.get("/api/nothing")).json


async def test_in_production_hidden_and_absent_are_the_same_bytes(t: Trial) -> None:
    ada = await t.user("ada@example.com")
    note, eve = await noted(t, ada), await t.user("eve@example.com")
    t.app.running.front.explain = None  # as production has it
    hidden = (await t.get(f"/api/notes/{note.id}", as_=eve)).json
    absent = (await t.get("/api/notes/01890a5d-ac96-774b-bcce-b302099a8057", as_=eve)).json
    for told in (hidden, absent):
        del told["instance"], told["request_id"]
    assert hidden == absent
    assert "why" not in hidden


def test_production_explains_nothing() -> None:
    from backstay.app import Running, open_store
    from backstay.settings import Settings

    for env, explains in (("production", False), ("development", True)):
        settings = Settings(secret_key="x" * 32, env=env, database_url="sqlite://")
        running = Running(app, settings, open_store(settings, app.limits))
        assert (running.front.explain is not None) == explains
