"""The commands. Each is imported when it is called, so that `backstay --help` answers at once."""

from __future__ import annotations


def main() -> None:
    """The `backstay` program."""
    from backstay.cli.commands import backstay

    backstay(prog_name="backstay")


if __name__ == "__main__":
    main()
