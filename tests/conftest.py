"""What every test may ask for, and how hard Hypothesis tries.

`HYPOTHESIS_PROFILE=long` (see `make oracle`) asks for many more examples than `make test` has time for.
"""

import os
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from tests.golden.summary import pytest_terminal_summary as pytest_terminal_summary
from tests.servers import Postgres

# A busy machine is not a failure: no deadlines.
hypothesis.settings.register_profile("quick", deadline=None)
hypothesis.settings.register_profile("long", deadline=None, max_examples=5_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL, for fixtures that live longer than one test."""
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """The address of the server's own database; tests keep their tables in one from `postgres_database`."""
    return postgres.url()


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[Callable[[str], str]]:
    """`postgres_database("name")` makes an empty database for this test and returns its address."""
    made: list[str] = []

    def make(name: str) -> str:
        address = postgres.create(name)
        made.append(name)
        return address

    yield make
    for name in made:
        postgres.drop(name)
