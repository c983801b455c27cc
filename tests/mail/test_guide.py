"""The example of the guide, in a folder of its own: its file, its template, its catalogue and its test."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks


async def test_the_club_of_the_guide_greets_in_german(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mails").mkdir()
    for block in blocks(ROOT / "docs" / "guides" / "mail.md"):
        if block.title:
            (tmp_path / block.title).write_text(block.text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("club", "test_club"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # another test may have had a club
    test = importlib.import_module("test_club")
    try:
        assert test.app.mails == tmp_path / "mails"
        await test.test_who_joins_is_greeted()
    finally:
        for name in ("club", "test_club"):
            sys.modules.pop(name, None)
