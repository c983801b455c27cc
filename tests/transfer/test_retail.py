"""The mapping of the example shop, on some lines of its data set; `make import-real` does the whole month."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.transfer.real import MAPPING, SHOP, naive

SAMPLE = MAPPING.with_name("sample.csv")


def test_the_sample_comes_in_whole_and_once(tmp_path: Path) -> None:
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'shop.db'}", "SHOP_CURRENCY": "GBP", "BACKSTAY_DATA": str(tmp_path),
        "LOG_LEVEL": "error", "BACKSTAY_ENV": "development",
    }  # fmt: skip
    program = str(Path(sys.executable).with_name("backstay"))
    words = [program, "import", str(SHOP), str(SAMPLE), "--map", str(MAPPING), "--json"]
    for _ in range(2):
        done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        said, told = json.loads(done.stdout), naive([SAMPLE])
        assert said["created"] == {
            "Category": 2, "Product": told["codes"], "User": told["customers"], "Order": told["invoices"],
            "OrderItem": told["lines"],
        }  # fmt: skip
        assert said["counted"]["no customer: the order of a guest"] == told["guests"]
        assert sum(n for reason, n in said["counted"].items() if reason.startswith("negative")) == told["negative"] > 0
        assert not said["rejected"]
    assert said["resumed_at"] == told["lines"]
    with SAMPLE.open(newline="") as file:
        assert told["lines"] == sum(1 for _ in csv.DictReader(file))
