"""Random writes: of every kind, mostly of what their actor may do, and now and then of what it may not or cannot know.

An act is made of the same values for the naive writer, which knows what they mean, and for the server, which is sent
them as JSON.
"""

from dataclasses import dataclass
from random import Random
from typing import Any, Literal
from uuid import UUID

from backstay.model.field import Action, Entity, Field, ToMany
from backstay.model.predicate import Arithmetic, Operand, Path, Value
from backstay.plan.actor import Actor
from tests.oracle.conditions import Conditions
from tests.oracle.naive import Naive, json_of
from tests.oracle.naive_writer import Op, Said, Values
from tests.oracle.world import Row, World, value_for

ABSENT = "01890a5d-ac96-774b-bcce-b302099a8057"
METHODS: dict[str, Action] = {"POST": "create", "PATCH": "update", "DELETE": "delete", "PUT": "update"}


@dataclass(frozen=True)
class Act:
    """One request, or one transaction of the application's own code (`guarded`)."""

    kind: Literal["one", "many", "batch", "guarded"]
    ops: tuple[Op, ...]


class Acts:
    """Makes one act for one actor."""

    def __init__(self, rng: Random, world: World, actor: Actor) -> None:
        self.rng = rng
        self.world = world
        self.actor = actor
        self.naive = Naive(world, actor)
        self.careless = rng.random() < 0.15
        self.served = [entity for entity in world.schema.entities.values() if not entity.hidden]

    def act(self) -> Act:
        """One act."""
        roll = self.rng.random()
        if roll < 0.62:
            return Act("one", (self._op(alone=True),))
        if roll < 0.72:
            return Act("guarded", (self._guarded(),))
        if roll < 0.84:
            entity = self._entity("create")
            items = [self._values(entity, creating=True) for _ in range(self.rng.choice((1, 2, 3)))]
            return Act("many", tuple(Op("POST", entity.name, item) for item in items))
        return Act("batch", tuple(self._op() for _ in range(self.rng.choice((1, 2, 3, 4)))))

    def _op(self, *, alone: bool = False) -> Op:
        rng = self.rng
        method = rng.choice(("POST", "POST", "PATCH", "PATCH", "PATCH", "PUT", "PUT", "DELETE"))
        entity = self._entity(METHODS[method] if method != "PUT" else rng.choice(("create", "update")))
        if method == "POST":
            return Op(method, entity.name, self._values(entity, creating=True))
        key = self._key(entity, 0.45 if method == "PUT" else 0.06)
        values: Values = {}
        if method != "DELETE":
            values = self._values(entity, creating=method == "PUT")
        match = rng.random() if alone else 1
        version = rng.choice((1, 1, 2)) if match < 0.25 else None
        there = version is not None or (method == "PUT" and match < 0.3)
        absent = method == "PUT" and not there and match < 0.4
        return Op(method, entity.name, values, key, version, there, absent)

    def _guarded(self) -> Op:
        rng = self.rng
        guard = Conditions(rng, self.world.schema.user, me=False).condition([entity := self._entity("update")], 1)
        if rng.random() < 0.2:
            entity = self._entity("delete")
            return Op("DELETE", entity.name, {}, self._key(entity, 0.05))
        sets: dict[str, Operand] = {}
        for name in ("stock",):
            if name in entity.fields and rng.random() < 0.6:
                sets[name] = Arithmetic(rng.choice(("add", "subtract")), (Path((name,)), Value(rng.choice((1, 1, 3)))))
        values = {} if sets and rng.random() < 0.5 else self._values(entity, creating=False)
        values = {name: said for name, said in values.items() if name not in sets}
        return Op(
            "PATCH",
            entity.name,
            values,
            self._key(entity, 0.05),
            guard=guard if rng.random() < 0.6 else None,
            sets=sets,
        )

    # Parts.

    def _entity(self, action: Action) -> Entity:
        """A model, mostly one of which the actor may do this to some record and sees all that it takes."""
        fit = self.served
        if not self.careless:
            able = [entity for entity in fit if self.naive.possible(entity.rules[action]) is not False]
            fit = [entity for entity in able if self._in_reach(entity, action)] or able or fit
        return self.rng.choice(fit)

    def _in_reach(self, entity: Entity, action: Action) -> bool:
        if action != "create":
            return self._sees(entity)
        needed = [one for one in entity.fields.values() if one.required]
        sent = all(one in self._open(entity) for one in needed)
        return sent and all(one.target is None or self._sees(one.target) for one in needed)

    def _sees(self, entity: Entity) -> bool:
        return any(self.naive.may_read(entity, row) for row in self.world.rows[entity.name])

    def _key(self, entity: Entity, absent: float) -> str:
        rows = self.world.rows[entity.name]
        seen = [row for row in rows if self.naive.may_read(entity, row)]
        if self.rng.random() < absent or not rows:
            return str(UUID(int=self.rng.getrandbits(128)))
        key: str = self.rng.choice(seen if seen and self.rng.random() < 0.92 else rows)["id"]
        return key

    def _values(self, entity: Entity, *, creating: bool) -> Values:
        rng = self.rng
        known, open_ = self.naive.names(entity), self._open(entity)
        lists = [one for one in entity.to_many.values() if one.as_list and one.name in known and not self._closed(one)]
        chosen: list[Field | ToMany] = []
        if creating:
            chosen += [one for one in open_ if one.required or rng.random() < 0.45]
        else:
            chosen += rng.sample(open_, min(len(open_), rng.choice((1, 1, 2, 3))))
        chosen += [one for one in lists if rng.random() < 0.5]
        if self.careless and rng.random() < 0.5:
            chosen.append(rng.choice([*entity.fields.values(), *entity.to_many.values()]))
        if self.careless and rng.random() < 0.2 and chosen:
            chosen.pop(rng.randrange(len(chosen)))
        values = {one.name: self._many(one) if isinstance(one, ToMany) else self._said(one) for one in chosen}
        if self.careless and rng.random() < 0.1:
            values[rng.choice(("nothing", *entity.computed))] = Said(1, 1)
        return values or {"label": Said("x", "x")}

    def _open(self, entity: Entity) -> list[Field]:
        """The fields that the actor may send, as far as that is the same for all records."""
        known = self.naive.names(entity)
        return [
            one for one in entity.fields.values()
            if (self.actor.system or one.write_only or one.name in known) and not self._closed(one)
        ]  # fmt: skip

    def _closed(self, one: Field | ToMany) -> bool:
        by_server = isinstance(one, Field) and (
            one.name == "id" or one.read_only or (one.default is not None and one.default.by_server)
        )
        if self.actor.system:
            return by_server
        return by_server or self.naive.possible(one.write) is False

    def _said(self, one: Field) -> Said:
        rng = self.rng
        if self.careless and rng.random() < 0.1 and one.kind.name != "json":
            return Said(5, None, False) if one.kind.name in ("text", "uuid") else Said({"x": 1}, None, False)
        if self.careless and rng.random() < 0.1:
            return Said(None)
        if one.kind.ge is not None and rng.random() < 0.06:
            return Said(one.kind.ge - 1, None, False)
        if one.target is not None:
            return self._link(one)
        value = value_for(rng, one, self.world.rows, rng.randrange(100, 200))
        return Said(json_of(one.kind, value), value)

    def _link(self, one: Field) -> Said:
        assert one.target is not None
        if one.nullable and self.rng.random() < 0.2:
            return Said(None)
        key = self._one_of(one.target)
        return Said(key, key)

    def _one_of(self, target: Entity) -> str:
        rows = self.world.rows[target.name]
        seen: list[Row] = [row for row in rows if self.naive.may_read(target, row)]
        roll = self.rng.random()
        if not rows or roll < 0.03:
            return ABSENT
        key: str = self.rng.choice(seen if seen and roll < 0.92 else rows)["id"]
        return key

    def _many(self, one: ToMany) -> Said:
        if self.careless and self.rng.random() < 0.1:
            return Said(5, (), False)
        keys = [self._one_of(one.target) for _ in range(self.rng.choice((0, 1, 1, 2, 3)))]
        return Said(keys, keys)


def json_values(values: Values) -> dict[str, Any]:
    """Values as they are sent."""
    return {name: said.json for name, said in values.items()}
