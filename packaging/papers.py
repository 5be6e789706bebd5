"""Writes what a package has beside the program: manual pages in DIR/man, completions in DIR/tree.

python packaging/papers.py DIR
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import completion
import manual
from command_tree import tree

CONFIGURATION = Path(__file__).parent.parent / "docs" / "configuration.md"


def main() -> None:
    """Write them all."""
    there = Path(sys.argv[1])
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    at = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
    commands, named = tree(), version("roomd")
    configuration = CONFIGURATION.read_text(encoding="utf-8")
    papers = {
        "man/roomd.1": manual.command_page(commands, version=named, at=at),
        "man/roomd.toml.5": manual.configuration_page(configuration, version=named, at=at),
        "tree/usr/share/bash-completion/completions/roomd": completion.bash(commands),
        "tree/usr/share/zsh/vendor-completions/_roomd": completion.zsh(commands),
        "tree/usr/share/fish/vendor_completions.d/roomd.fish": completion.fish(commands),
    }
    for name, text in papers.items():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text(text, encoding="utf-8")


main()
