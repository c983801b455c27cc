"""Setting the stage: every peer loaded with the same shop, started, signed in to, and found to answer the same."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.dataset import Dataset
from benchmarks.load import write_questions
from benchmarks.measure import Runner
from benchmarks.peers.backstay import Backstay
from benchmarks.peers.django import Django
from benchmarks.peers.fastapi import FastApi
from benchmarks.peers.handwritten import Handwritten
from benchmarks.peers.pocketbase import PocketBase
from benchmarks.peers.port import Peer, Place, Tools
from benchmarks.postgres import Postgres
from benchmarks.processes import Server, ServerFailed, free_port
from benchmarks.workloads import Oracle, OrdersOf, ProductById, Question, Workload, questions, signed_in

PEERS: Sequence[type[Peer]] = (Backstay, Handwritten, PocketBase, FastApi, Django)
CHECKED = 20
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """Who takes part: a peer on a database with a shop of some size."""

    peer: type[Peer]
    database: str
    dataset: Dataset

    @property
    def label(self) -> str:
        return f"{self.peer.name} on {self.database} at scale {self.dataset.scale:g}"


@dataclass(frozen=True, slots=True)
class Player:
    """A part whose server answers, with a file of questions for each workload."""

    part: Part
    server: Server
    questions: dict[Workload, Path]
    postgres: Postgres | None

    def runner(self, workload: Workload) -> Runner:
        """What is loaded in one workload."""
        database = self.postgres.pid if self.postgres else None
        return Runner(self.part.label, self.server, self.questions[workload], database)


@contextmanager
def stage(
    parts: Sequence[Part], workloads: Sequence[Workload], tools: Tools, report: Report
) -> Iterator[tuple[list[Player], Postgres | None]]:
    """Bring every part up, one after another, and take all of them down at the end."""
    with ExitStack() as exits:
        folder = Path(exits.enter_context(TemporaryDirectory(prefix="benchmarks-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)  # PostgreSQL runs as a user of its own where root started us
        postgres = None
        if any(part.database == "postgres" for part in parts):
            report("starting PostgreSQL")
            postgres = exits.enter_context(Postgres.running(folder / "postgres"))
        oracles = {part.dataset: Oracle(part.dataset) for part in parts}
        players = []
        for number, part in enumerate(parts):
            own = postgres if part.database == "postgres" else None
            place = Place(folder / f"part{number}", tools, own, f"part{number}")
            player = _bring_up(part, place, workloads, oracles[part.dataset], report, exits)
            players.append(player)
        yield players, postgres


def _bring_up(
    part: Part, place: Place, workloads: Sequence[Workload], oracle: Oracle, report: Report, exits: ExitStack
) -> Player:
    place.directory.mkdir()
    peer = part.peer(place)
    report(f"{part.label}: loading {part.dataset.row_count:,} rows")
    if place.postgres:
        place.postgres.create(place.database)
    peer.load(part.dataset)
    if place.postgres:
        place.postgres.settle(place.database)
    report(f"{part.label}: starting")
    port = free_port()
    server = Server.start(peer.command(port), port, place.directory / "server.log")
    exits.callback(server.stop)
    server.wait(peer.path(ProductById(0)), {})
    tokens = peer.sign_in(server, signed_in(part.dataset))
    report(f"{part.label}: checking its answers")
    files = {}
    for workload in workloads:
        asked = questions(workload, part.dataset)
        requests = [(peer.path(q), tokens[q.customer] if isinstance(q, OrdersOf) else "") for q in asked]
        for question, (path, authorization) in list(zip(asked, requests, strict=True))[:CHECKED]:
            _check(part, peer, server, question, path, authorization, oracle)
        files[workload] = place.directory / f"{workload}.questions"
        write_questions(files[workload], requests)
    return Player(part, server, files, place.postgres)


def _check(
    part: Part, peer: Peer, server: Server, question: Question, path: str, authorization: str, oracle: Oracle
) -> None:
    status, body = server.get(path, {"Authorization": authorization} if authorization else {})
    if status != 200:
        raise ServerFailed(f"{part.label} answered {path} with {status}: {body[:2000].decode(errors='replace')}")
    told, wanted = peer.read(question, json.loads(body)), oracle.answer(question)
    if told != wanted:
        raise ServerFailed(f"{part.label} answered {path} wrongly.\nIt said {told}\nThe data set says {wanted}")
