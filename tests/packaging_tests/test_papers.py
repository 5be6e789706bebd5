"""What a package has beside the program: manual, completion and an example that never goes stale."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent.settings import read

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "packaging" / "roomd.toml"


@pytest.fixture(scope="module")
def papers(tmp_path_factory) -> Path:
    there = Path(tmp_path_factory.mktemp("papers"))
    subprocess.run(
        (sys.executable, str(REPOSITORY / "packaging/papers.py"), str(there)),
        check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1760000000", "PYTHONPATH": str(REPOSITORY)},
        timeout=120,
    )
    return there


@pytest.fixture(scope="module")
def commands() -> list[str]:
    """As `roomd --help` has them."""
    said = subprocess.run(
        (sys.executable, "-m", "agent.cli", "--help"), capture_output=True, text=True, check=True, timeout=120
    )
    found = re.findall(r"^│ ([a-z]+) {2,}\S", said.stdout, re.MULTILINE)
    assert {"run", "check", "doctor", "enroll"} <= set(found)
    return found


@pytest.mark.parametrize("page", ["roomd.1", "roomd.toml.5"])
def test_the_manual_is_written_without_a_mistake(papers, page):
    said = subprocess.run(
        ("groff", "-man", "-ww", "-Kutf8", "-Tutf8", "-rLL=80n", str(papers / "man" / page)),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert not said.stderr
    assert not re.search(r"\\f[BIR]|\\&|\\\(", said.stdout), "an escape is shown"
    assert len(said.stdout.splitlines()) > 100


def test_the_manual_has_every_command_and_every_table(papers, commands):
    page = (papers / "man/roomd.1").read_text(encoding="utf-8")
    for command in commands:
        assert re.search(rf"^\.SS roomd {command}\b", page, re.MULTILINE), command
    configuration = (papers / "man/roomd.toml.5").read_text(encoding="utf-8")
    for table in ("[site]", "[mqtt]", "[devices]", "[[rooms]]"):
        assert f'.SH "{table}' in configuration


def completed(papers: Path, *words: str) -> list[str]:
    """What bash offers behind these words, the last of which is begun."""
    script = papers / "tree/usr/share/bash-completion/completions/roomd"
    asks = f'COMP_WORDS=("$@"); COMP_CWORD={len(words)}; _roomd; printf "%s\\n" "${{COMPREPLY[@]}}"'
    said = subprocess.run(
        ("bash", "--norc", "-euc", f'. "$1"; shift; {asks}', "bash", str(script), "roomd", *words),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return said.stdout.split()


def test_bash_completes_commands_their_switches_and_files(papers, tmp_path, commands):
    assert set(commands) <= set(completed(papers, ""))
    assert completed(papers, "doc") == ["doctor"]
    assert {"stats", "peek"} <= set(completed(papers, "outbox", ""))
    assert completed(papers, "rooms", "--fol") == ["--follow"]
    assert "--follow" not in completed(papers, "check", "--")
    (tmp_path / "mine.toml").touch()
    assert completed(papers, "check", "--config", f"{tmp_path}/m") == [f"{tmp_path}/mine.toml"]


@pytest.mark.parametrize("script", ["zsh/vendor-completions/_roomd", "fish/vendor_completions.d/roomd.fish"])
def test_the_other_shells_are_told_of_every_command(papers, commands, script):
    text = (papers / "tree/usr/share" / script).read_text(encoding="utf-8")
    for command in commands:
        assert re.search(rf"\b{command}\b", text), command


def secrets_of(directory: Path, text: str) -> None:
    (directory / "credentials").mkdir(mode=0o700)
    for table in tomllib.loads(text).values():
        if isinstance(table, dict) and "password_file" in table:
            (directory / "credentials" / table["password_file"]).write_text("secret\n")


def test_the_example_is_a_good_configuration(tmp_path):
    file = tmp_path / "roomd.toml"
    file.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    secrets_of(tmp_path, file.read_text(encoding="utf-8"))
    configuration = read(file)
    assert [room.id for room in configuration.rooms] == ["fjord", "viken"]
    assert configuration.notes == ()


def test_the_example_names_every_table_and_only_keys_that_there_are():
    """Each line of it that does nothing would do something if it did."""
    whole = re.sub(r"^# (?=\[|[a-z_]+ = )", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    tables = tomllib.loads(whole)
    explained = (REPOSITORY / "docs/configuration.md").read_text(encoding="utf-8")
    assert set(tables) == set(
        re.findall(r"`\[+([a-z]+)\]+`", "\n".join(re.findall(r"^## .*", explained, re.MULTILINE)))
    )
    for name, table in tables.items():
        if isinstance(table, dict):
            for key in table:
                assert f"`{key}`" in explained, f"[{name}] {key}"
