"""The test that the guide of live lists shows, run as its reader would run it."""

import sys
from types import ModuleType

import pytest

from tests.docs.pages import ROOT, blocks

GUIDE = ROOT / "docs" / "guides" / "live.md"


async def test_the_test_of_the_guide_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    for block in blocks(GUIDE):
        if block.language == "python":
            module = ModuleType(block.title.partition(".")[0])
            monkeypatch.setitem(sys.modules, module.__name__, module)
            exec(compile(block.text, block.title, "exec"), module.__dict__)
    await module.test_a_note_comes_into_view()
