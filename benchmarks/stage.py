"""Setting the stage: every peer loaded with the same shop, started, signed in to, and found to answer the same."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.dataset import HOT, SCARCE, Dataset
from benchmarks.load import CONNECTIONS, Asked, write_questions
from benchmarks.measure import Runner
from benchmarks.peers.backstay import Backstay
from benchmarks.peers.django import Django
from benchmarks.peers.fastapi import FastApi
from benchmarks.peers.handwritten import Handwritten
from benchmarks.peers.pocketbase import PocketBase
from benchmarks.peers.port import Peer, Place, Tools
from benchmarks.postgres import Postgres
from benchmarks.processes import Server, ServerFailed, ask, free_port
from benchmarks.stocktaking import DONE, LATER, Count, judge_rush, take_stock
from benchmarks.workloads import (
    BUYING,
    Oracle,
    ProductById,
    Question,
    Workload,
    customer_of,
    questions,
    rush,
    signed_in,
)

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
    """A part whose server answers, with a file of questions for each workload; `shelves` as they were at first."""

    part: Part
    peer: Peer
    server: Server
    questions: dict[Workload, Path]
    tokens: Mapping[int, str]
    shelves: Mapping[int, Count]
    postgres: Postgres | None

    def runner(self, workload: Workload) -> Runner:
        """What is loaded in one workload."""
        database = self.postgres.pid if self.postgres else None
        return Runner(self.part.label, self.server, self.questions[workload], database)

    def take_stock(self) -> None:
        """See that what is gone from the shelves is in the orders, and that nothing was sold that was not there."""
        take_stock(self.part.label, self.shelves, self.peer.counted(range(HOT)))

    def rush(self) -> None:
        """Let many buy at once what there is too little of: all of it is sold, once, and the others are told so."""
        before = self.peer.counted([SCARCE])[SCARCE]
        with ThreadPoolExecutor(CONNECTIONS) as buyers:
            statuses = list(buyers.map(self._buy, rush(self.part.dataset)))
        judge_rush(self.part.label, statuses, before, self.peer.counted([SCARCE])[SCARCE])

    def _buy(self, question: Question) -> int:
        """Who is told to come again does so."""
        asked = _asked(self.peer, question, self.tokens)
        while (status := _send(self.server, asked)[0]) in LATER:
            time.sleep(0.1)
        return status


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
    shelves = peer.counted(range(HOT))
    report(f"{part.label}: checking its answers")
    files = {}
    for workload in workloads:
        wanted = questions(workload, part.dataset)
        requests = [_asked(peer, question, tokens) for question in wanted]
        for question, asked in list(zip(wanted, requests, strict=True))[:CHECKED]:
            _check(part, peer, server, question, asked, oracle)
        files[workload] = place.directory / f"{workload}.questions"
        write_questions(files[workload], requests)
    player = Player(part, peer, server, files, tokens, shelves, place.postgres)
    if any(workload in BUYING for workload in workloads):
        report(f"{part.label}: a rush of buyers")
        player.rush()
        player.take_stock()
    return player


def _asked(peer: Peer, question: Question, tokens: Mapping[int, str]) -> Asked:
    customer, body = customer_of(question), peer.body(question)
    authorization = tokens[customer] if customer is not None else ""
    return Asked(peer.path(question), authorization, json.dumps(body) if body is not None else "")


def _send(server: Server, asked: Asked) -> tuple[int, bytes]:
    headers = {"Authorization": asked.authorization} if asked.authorization else {}
    if not asked.body:
        return server.get(asked.path, headers)
    return ask("POST", server.port, asked.path, {**headers, "Content-Type": "application/json"}, asked.body.encode())


def _check(part: Part, peer: Peer, server: Server, question: Question, asked: Asked, oracle: Oracle) -> None:
    status, body = _send(server, asked)
    if status not in DONE:
        raise ServerFailed(f"{part.label} answered {asked.path} with {status}: {body[:2000].decode(errors='replace')}")
    told, wanted = peer.read(question, json.loads(body)), oracle.answer(question)
    if told != wanted:
        raise ServerFailed(f"{part.label} answered {asked.path} wrongly.\nIt said {told}\nThe data set says {wanted}")
