"""The package's own files: scripts that a shell understands, and a refusal before anything is changed."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cloud_link.database import SCHEMA

REPOSITORY = Path(__file__).parents[2]
DEBIAN = REPOSITORY / "packaging" / "debian"


@pytest.mark.parametrize("name", ["preinst", "postinst", "prerm", "postrm"])
def test_each_script_is_good_shell_and_leaves_debhelper_its_place(name):
    subprocess.run(("sh", "-n", str(DEBIAN / name)), check=True)
    text = (DEBIAN / name).read_text()
    assert "#DEBHELPER#" in text
    assert "set -e" in text


def preinst(directory: Path, step: str, schema: int) -> subprocess.CompletedProcess[str]:
    """The script with a database of this schema."""
    header = bytearray(b"SQLite format 3\x00".ljust(100, b"\x00"))
    header[60:64] = schema.to_bytes(4, "big")
    (directory / "roomd.db").write_bytes(header)
    return looked_at(directory, step)


def looked_at(directory: Path, step: str) -> subprocess.CompletedProcess[str]:
    """The script, as if this directory were roomd's, and this Python the package's."""
    text = (DEBIAN / "preinst").read_text().replace("@SCHEMA@", str(SCHEMA))
    for installed, here in (
        ("/var/lib/roomd", str(directory)),
        ("/usr/lib/roomd/bin/python", sys.executable),
        ("runuser -u roomd -- ", ""),
    ):
        assert installed in text
        text = text.replace(installed, here)
    script = directory / "preinst"
    script.write_text(text)
    return subprocess.run(("sh", str(script), step), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("step", ["install", "upgrade"])
def test_a_newer_database_is_refused_before_anything_is_changed(tmp_path, step):
    assert preinst(tmp_path, step, SCHEMA).returncode == 0
    assert preinst(tmp_path, step, SCHEMA - 1).returncode == 0
    refused = preinst(tmp_path, step, SCHEMA + 1)
    assert refused.returncode == 1
    assert f"schema {SCHEMA + 1}; this one knows {SCHEMA}" in refused.stderr
    assert "Nothing was changed" in refused.stderr


def test_a_schema_that_stands_in_the_log_alone_is_seen(tmp_path):
    database = tmp_path / "roomd.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as roomd:
        roomd.execute("PRAGMA journal_mode = WAL")
        roomd.execute("PRAGMA wal_autocheckpoint = 0")
        roomd.execute(f"PRAGMA user_version = {SCHEMA + 1}")
        assert int.from_bytes(database.read_bytes()[60:64], "big") == 0, "it stands in the file as well"
        refused = looked_at(tmp_path, "upgrade")
    assert refused.returncode == 1
    assert f"schema {SCHEMA + 1}" in refused.stderr


def test_after_a_crash_the_look_leaves_the_log_where_roomd_expects_it(tmp_path):
    crash = """import os, sqlite3, sys
roomd = sqlite3.connect(sys.argv[1], isolation_level=None)
roomd.execute("PRAGMA journal_mode = WAL")
roomd.execute("CREATE TABLE written_last (it)")
os._exit(9)"""
    database, log = tmp_path / "roomd.db", tmp_path / "roomd.db-wal"
    subprocess.run((sys.executable, "-c", crash, str(database)), check=False, timeout=60)
    before = log.read_bytes()
    assert looked_at(tmp_path, "upgrade").returncode == 0
    assert log.read_bytes() == before


def test_what_is_half_gone_already_can_be_removed_all_the_same(tmp_path):
    script = tmp_path / "prerm"
    script.write_text((DEBIAN / "prerm").read_text().replace("/usr/lib/roomd", str(tmp_path / "gone")))
    said = subprocess.run(("sh", str(script), "remove"), capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")


def test_the_libraries_come_from_the_lock_alone_and_scripts_deb_names_no_place():
    script = (REPOSITORY / "scripts/deb").read_text()
    assert not re.search(r"https?://|index-url", script)
    for line in script.splitlines():
        if re.match(r"\s*pip (install|download)\b", line):
            assert "--require-hashes" in line + script[script.index(line) :].split("\n")[1], line
