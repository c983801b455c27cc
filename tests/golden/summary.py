"""What the golden questions cost, told at the end of every run that asked them, also of one over several processes."""

from __future__ import annotations

from collections import Counter

import pytest

SPENT = "golden"
"""The property of a test's report that holds (database, what, how many) of its question."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each database: what the questions sent to it, and what recognising their actors did."""
    reports = [report for outcome in terminalreporter.stats.values() for report in outcome]
    counted: Counter[tuple[str, str]] = Counter()
    for report in reports:
        for name, spent in getattr(report, "user_properties", ()) if getattr(report, "when", "") == "call" else ():
            if name == SPENT:
                counted.update({(database, what): number for database, what, number in spent})
    for database in sorted({database for database, _ in counted}):
        questions, data, sessions = (counted[database, what] for what in ("questions", "data", "sessions"))
        terminalreporter.write_line(
            f"golden questions on {database}: {questions} asked and {counted[database, 'refused']} of them refused in"
            f" the plan, {data} data statements, {sessions} session statements to identify bearer tokens"
        )
