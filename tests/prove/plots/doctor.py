"""A big site examined by `roomd doctor`, with many of its devices dead and one password for all."""

from __future__ import annotations

import json
import random
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.black_hole import black_hole
from tests.installation import Installation, install
from tests.prove.scenario import Result, Trial
from tests.simulator.site import Site

DEVICES: Final = 200
WITHIN_S: Final = 60.0  # what a technician is promised
DEAD_FROM: Final = "127.31.0.{}"


async def examined(dead: int, result: Result, seed: int) -> None:
    """Each that lives is heard, each that is dead is told, and it is over within a minute."""
    with tempfile.TemporaryDirectory() as name, black_hole() as port:
        async with Site(DEVICES - dead, profile="mix", seed=seed, address_base="127.30.0.1") as site:
            site.write(Path(name) / "site")
            for device in site.devices:
                device.password = site.devices[0].password
            described: list[dict[str, Any]] = [dict(each) for each in site.describe()["devices"]]
            described += [
                {
                    **described[0],
                    "room": f"dead-{number}",
                    "host": DEAD_FROM.format(number),
                    "port": port,
                    "ssh_port": port,
                }
                for number in range(1, dead + 1)
            ]
            random.Random(seed).shuffle(described)
            installation = install(
                Path(name) / "roomd",
                devices=described,
                broker_url="mqtt://127.0.0.1:1",
                device_ca=Path(name) / "site" / "ca.pem",
            )
            _one_account(installation)
            began = time.monotonic()
            _, out, err = await installation.ask("doctor", "--json", "--only", "devices")
            lasted_s = time.monotonic() - began
            told = [json.loads(line) for line in out.splitlines()]
            wrong = {each["what"].partition(" ")[0] for each in told if each["severity"] == "wrong"}
            heard = {each["what"].partition(" ")[0] for each in told} - wrong
            if missing := {each["room"] for each in described if each["room"].startswith("dead")} - wrong:
                result.wrongs.append(f"nothing is said of the dead {sorted(missing)[:5]} {err[-300:]}")
            if missing := {device.room for device in site.devices} - heard:
                result.wrongs.append(f"not heard: {sorted(missing)[:5]} {err[-300:]}")
            if lasted_s > WITHIN_S:
                result.wrongs.append(f"it took {lasted_s:.0f} s")
            result.faults = dead
            result.notes.append(f"{DEVICES} devices, {dead} of them dead, in {lasted_s:.0f} s")


def _one_account(installation: Installation) -> None:
    lines = installation.config.read_text().splitlines()
    (first, *_) = [line for line in lines if line.startswith("password_file")]
    shared = [first if line.startswith("password_file") else line for line in lines]
    installation.config.write_text("\n".join(shared))


DOCTOR: Final = tuple(
    Trial(
        name=f"doctor: {dead} of {DEVICES} devices dead",
        tells="the dead keep nobody waiting, and one password is not tried at all of them at once",
        run=partial(examined, dead),
    )
    for dead in (0, 20, 199)
)
