"""The package's own files: scripts that a shell understands, and a refusal before anything is changed."""

from __future__ import annotations

import re
import subprocess
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
    database = directory / "roomd.db"
    header = bytearray(b"SQLite format 3\x00".ljust(100, b"\x00"))
    header[60:64] = schema.to_bytes(4, "big")
    database.write_bytes(header)
    script = directory / "preinst"
    text = (DEBIAN / "preinst").read_text().replace("@SCHEMA@", str(SCHEMA))
    script.write_text(text.replace("/var/lib/roomd/roomd.db", str(database)))
    return subprocess.run(("sh", str(script), step), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("step", ["install", "upgrade"])
def test_a_newer_database_is_refused_before_anything_is_changed(tmp_path, step):
    assert preinst(tmp_path, step, SCHEMA).returncode == 0
    assert preinst(tmp_path, step, SCHEMA - 1).returncode == 0
    refused = preinst(tmp_path, step, SCHEMA + 1)
    assert refused.returncode == 1
    assert f"schema {SCHEMA + 1}; this one knows {SCHEMA}" in refused.stderr
    assert "Nothing was changed" in refused.stderr


def test_the_libraries_come_from_the_lock_alone_and_scripts_deb_names_no_place():
    script = (REPOSITORY / "scripts/deb").read_text()
    assert not re.search(r"https?://|index-url", script)
    for line in script.splitlines():
        if re.match(r"\s*pip (install|download)\b", line):
            assert "--require-hashes" in line + script[script.index(line) :].split("\n")[1], line
