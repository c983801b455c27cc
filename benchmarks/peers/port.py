"""The shape of a peer: it holds the shop, says how its server is started, and how it is asked and read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from benchmarks.dataset import Dataset
from benchmarks.postgres import Postgres
from benchmarks.processes import Command, Server
from benchmarks.stocktaking import Count
from benchmarks.workloads import Answer, Question

HERE = Path(__file__).parent.parent
SECRET = "the same on every run, since nothing here is worth a better one"


@dataclass(frozen=True, slots=True)
class Tools:
    """What peers are started with: the environment's programs, the `backstay` command, and how many processes."""

    programs: Path
    backstay: Path
    workers: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer lives during one run: a directory of its own, and on PostgreSQL a database of its own."""

    directory: Path
    tools: Tools
    postgres: Postgres | None = None
    database: str = ""

    @property
    def server(self) -> Postgres:
        """The PostgreSQL server, for peers that live on one."""
        assert self.postgres is not None, "this peer was declared to live on PostgreSQL"
        return self.postgres


class Peer(Protocol):
    """A backend that answers the workloads."""

    name: ClassVar[str]
    databases: ClassVar[tuple[str, ...]]
    """The databases it can be measured on: "sqlite", "postgres"."""

    def __init__(self, place: Place) -> None: ...

    def load(self, dataset: Dataset) -> None:
        """Make the schema and fill it, the fastest way there is."""

    def command(self, port: int) -> Command:
        """How to start the server."""

    def sign_in(self, server: Server, customers: Sequence[int]) -> Mapping[int, str]:
        """The Authorization header of each customer."""

    def path(self, question: Question) -> str:
        """How this question is asked, or where this is written."""

    def body(self, question: Question) -> Any:
        """What is posted there as JSON; nothing where it is only asked."""

    def counted(self, products: Sequence[int]) -> Mapping[int, Count]:
        """How many there are of these products, and how many were sold, as the database says."""

    def read(self, question: Question, body: Any) -> Answer:
        """What the decoded answer says."""
