"""The documentation of the example shop: what it says, that its examples are right, and that it says it again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from backstay.cli.commands import backstay
from backstay.cli.load import load_app
from backstay.review.api_page import example
from backstay.review.pages import pages
from backstay.settings import ENVIRONMENT

SHOP = Path(__file__).parent.parent.parent / "examples" / "shop" / "shop.py"


@pytest.fixture(scope="module")
def shop() -> Iterator[Any]:
    path, before = list(sys.path), sys.modules.pop("shop", None)
    yield load_app(str(SHOP))
    sys.path[:] = path
    sys.modules.pop("shop", None)
    if before is not None:
        sys.modules["shop"] = before


@pytest.fixture(scope="module")
def made(shop: Any) -> dict[str, str]:
    return pages(shop, SHOP)


def part(page: str, heading: str) -> str:
    """What stands below a heading, to the next one of its level."""
    level = heading.partition(" ")[0]
    return re.split(rf"^{level} ", page.partition(f"{heading}\n")[2], flags=re.MULTILINE)[0]


def test_each_page_begins_with_where_it_comes_from(made: dict[str, str]) -> None:
    assert list(made) == ["index.md", "api.md", "models.md", "access.md", "code.md", "settings.md"]
    for name, text in made.items():
        assert text.startswith("<!-- Made by `backstay docs`: change the declaration, not this page. -->\n\n# "), name
        assert text.endswith("\n"), name
        assert not text.endswith("\n\n"), name
        for link in re.findall(r"\]\(([a-z]+\.md)", text):
            assert link in made


def test_models_have_a_diagram_and_tables(made: dict[str, str]) -> None:
    page = made["models.md"]
    drawn = page.partition("```mermaid\n")[2].partition("```")[0].splitlines()
    assert drawn[0] == "erDiagram"
    assert "  OrderItem }o--|| Order : order" in drawn
    assert "  Order }o--o| User : customer" in drawn
    assert "    money price" in drawn
    assert "    uuid id PK" in drawn
    assert "    Category category FK" in drawn
    assert "    text sku UK" in drawn
    product = part(page, "## Product")
    assert "| `cost` | money in EUR | at least 0 | must be sent |" in product
    assert "| `slug` | slug | unique | made from name |" in product
    assert (
        "| `sku` | text of at most 40 characters | at least this many characters: 1, may be null, unique | null |"
        in (product)
    )
    assert "| `available` | boolean, computed | Whether it can be bought now. `self.stock > 0` |  |" in product
    assert "| `reviews` | many Review | by `product` |  |" in product
    assert "- Searched in: `name`, `description`." in product


def test_access_is_told_by_model_and_by_role(made: dict[str, str]) -> None:
    page = made["access.md"]
    order = part(page, "## Order").splitlines()
    assert order[1:5] == [
        "|  | anonymous | signed in | moderator | staff |", "|---|---|---|---|---|",
        "| `read` | never | by row | by row | always |", "| `create` | never | never | never | never |",
    ]  # fmt: skip
    assert "- `read` (signed in, moderator): where `self.customer == me`" in order
    assert "| `cost.read` | never | never | never | always |" in part(page, "## Product")
    assert part(page, "### Anonymous").strip().splitlines() == [
        "- may read every Category", "- may read every Product", "- may read every Review",
        "- may create every Message",
    ]  # fmt: skip
    moderator = part(page, "### Moderator").splitlines()
    assert "- may delete every Review" in moderator
    assert "- may update a Review where `self.author == me`" in moderator
    assert "- may call `POST /api/purchase`" in moderator


def test_own_code_and_settings_are_named_and_have_no_values(made: dict[str, str]) -> None:
    assert "- Who may call it: `me.signed_in`" in part(made["code.md"], "### `POST /api/purchase`")
    assert "- `before_create(Review)`: `only_buyers` - Only somebody who bought" in made["code.md"]
    assert "- `SHOP_CURRENCY`" in part(made["settings.md"], "## Of the application")
    assert all(f"| `{name}` | " in made["settings.md"] for name in ENVIRONMENT)


def test_the_api_is_told_whole(shop: Any, made: dict[str, str]) -> None:
    told = re.findall(r"^### `([A-Z]+) (\S+)`$", made["api.md"], flags=re.MULTILINE)
    known = {(method.upper(), path) for path, found in shop.openapi()["paths"].items() for method in found}
    assert set(told) == known
    assert len(told) == len(known)
    buy = part(made["api.md"], "### `POST /api/purchase`")
    assert '-H "Authorization: Bearer $TOKEN"' in buy
    assert """-d '{"items": [{"product": "0190c0de-0000-7000-8000-000000000001", "quantity": 1}]}'""" in buy
    assert "Authorization: Bearer $TOKEN" not in part(made["api.md"], "### `GET /api/products`")


def test_every_example_satisfies_its_schema(shop: Any) -> None:
    document = shop.openapi()
    looked_at = 0
    for found in document["paths"].values():
        for operation in found.values():
            bodies = [(operation.get("requestBody", {}), True)]
            bodies += [(one, False) for status, one in operation["responses"].items() if status[0] == "2"]
            for body, sent in bodies:
                schema = body.get("content", {}).get("application/json", {}).get("schema")
                if schema:
                    whole = {**schema, "components": document["components"]}
                    value = example(document, schema, sent=sent)
                    jsonschema.Draft202012Validator(whole).validate(json.loads(json.dumps(value)))
                    looked_at += 1
    assert looked_at > 40


def test_pages_are_the_same_in_another_process_with_other_settings(made: dict[str, str], tmp_path: Path) -> None:
    environment = {
        **os.environ, "PYTHONHASHSEED": "7", "SECRET_KEY": "a secret that nobody may read 123", "TZ": "Asia/Tokyo",
        "DATABASE_URL": "postgresql://elsewhere/shop", "BACKSTAY_PUBLIC_URL": "https://shop.example.com",
    }  # fmt: skip
    program = "from backstay.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", program, "docs", str(SHOP), "--out", "pages"],
        cwd=tmp_path, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    assert {path.name: path.read_text() for path in (tmp_path / "pages").iterdir()} == made


def test_a_folder_that_is_not_up_to_date_is_told(made: dict[str, str], tmp_path: Path) -> None:
    def run(*words: str) -> Result:
        return CliRunner().invoke(backstay, ["docs", str(SHOP), "--out", str(tmp_path / "pages"), *words])

    missing = run("--check")
    assert (missing.exit_code, missing.stdout.count("is not up to date.")) == (1, 6)
    assert not (tmp_path / "pages").exists()
    assert run().stdout == f"6 pages in {tmp_path / 'pages'}, 6 written.\n"
    assert (run("--check").exit_code, run("--check").stdout) == (0, "6 pages are up to date.\n")
    page = tmp_path / "pages" / "access.md"
    page.write_text(page.read_text() + "by hand\n")
    stale = run("--check", "--json")
    assert (stale.exit_code, json.loads(stale.stdout)["stale"]) == (1, ["access.md"])
    assert json.loads(run("--json").stdout)["written"] == ["access.md"]
    assert page.read_text() == made["access.md"]
