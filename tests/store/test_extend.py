"""Tables are created and extended as development goes on, on both databases."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Ge

from backstay.model.declare import Model, User
from backstay.model.rule import Many as ToMany
from backstay.model.rule import Rules, anyone, many, on_delete
from backstay.model.schema import declare
from backstay.plan.actor import SYSTEM
from backstay.plan.ask import Create, Delete
from backstay.store.engine import Engine
from backstay.store.sqlite import SQLiteStore
from tests.store.conftest import Build, House


class Bill(Model):
    """A bill and its payments refer to each other."""

    paid_by: "Annotated[Payment | None, on_delete('set_null')]" = None
    payments: "ToMany[Payment]" = many(via="bill")

    def rules(self, me: User) -> Rules:
        return Rules(read=anyone)


class Payment(Model):
    bill: Annotated[Bill, on_delete("cascade")]


async def test_tables_may_refer_to_each_other(build: Build) -> None:
    house = await build(Bill, Payment)
    bill = await house.act(SYSTEM, lambda tx: tx.write(Create("Bill", {})))
    payment = await house.act(SYSTEM, lambda tx: tx.write(Create("Payment", {"bill": bill})))
    await house.act(SYSTEM, lambda tx: tx.write(Delete("Bill", bill)))
    assert await house.act(SYSTEM, lambda tx: tx.count(Payment)) == 0
    assert payment
    assert await house.engine.store.extend(house.engine.schema) == []


def grown(model: type[Model], name: str, **fields: Any) -> type[Model]:
    """The same model with more fields."""
    space = {
        "__annotations__": {k: v[0] for k, v in fields.items()},
        **{k: v[1] for k, v in fields.items() if len(v) > 1},
    }
    return type(name, (model,), {**space, "__module__": __name__})


class Tree(Model):
    kind: str


async def test_a_table_grows_with_its_model(build: Build) -> None:
    house = await build(Tree, Bill, Payment)
    await house.act(SYSTEM, lambda tx: tx.write(Create("Tree", {"kind": "oak"})))
    more = grown(Tree, "Tree", height=(Annotated[int, Ge(0)], 3), note=(str, "Ä"), bill=(Bill | None, None))
    schema = declare([more, Bill, Payment])
    done = await house.engine.store.extend(schema)
    assert {line for line in done if "column" in line} == {
        f"added column trees.{name}" for name in ("height", "note", "note__folded", "bill_id")
    }
    later = House(Engine(schema, house.engine.store, house.engine.limits))
    (tree,) = await later.act(SYSTEM, lambda tx: tx.find(more))
    assert (tree.kind, tree.height, tree.note, tree.bill) == ("oak", 3, "Ä", None)


async def test_a_column_that_nothing_can_fill_is_refused(build: Build) -> None:
    house = await build(Tree)
    with pytest.raises(RuntimeError, match="Give the field a default"):
        await house.engine.store.extend(declare([grown(Tree, "Tree", age=(int,))]))


async def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """And so are those that stand beside it; one that is there keeps its mode."""
    path = tmp_path / "new.db"
    store = SQLiteStore(str(path))
    await store.open()
    async with store.transaction() as tx:
        await tx.run("CREATE TABLE a (b)", ())
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    await store.close()
    assert set(modes.values()) == {0o600}, modes
    path.chmod(0o640)
    await store.open()
    await store.close()
    assert path.stat().st_mode & 0o777 == 0o640
