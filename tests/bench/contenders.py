"""Who is measured: roomd, the floor, and two pairs of Cisco's own clients with an MQTT client."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tests.bench.processes import ROOT
from tests.installation import install

Json = Mapping[str, Any]

TOOLS: Final = ROOT / ".tools" / "bench"
WINDOW: Final = 1000  # messages in flight, the same for all who let it be said
ROOM_WITHOUT_DEVICES: Final = '[[rooms]]\nid = "bare"'  # roomd wants one at least
ROOMD_MQTT: Final = f"window = {WINDOW}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a contender is given to run with."""

    directory: Path
    devices: Sequence[Json]
    authority: Path | None  # of the devices' certificates
    broker_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    name: str
    title: str
    durable: bool
    command: Callable[[Place], Sequence[str]]
    versions: Callable[[], Mapping[str, str]]
    environment: Mapping[str, str]
    absent: Callable[[], str]  # why it cannot run here, or nothing


def _config(place: Place) -> str:
    path = place.directory / "contender.json"
    path.write_text(
        json.dumps(
            {
                "directory": str(place.directory),
                "devices": list(place.devices),
                "ca": str(place.authority),
                "broker_port": place.broker_port,
            }
        ),
        encoding="utf-8",
    )
    return str(path)


def _roomd(place: Place) -> Sequence[str]:
    installation = install(
        place.directory / "roomd",
        devices=place.devices,
        broker_url=f"mqtt://127.0.0.1:{place.broker_port}",
        device_ca=place.authority,
        extra="" if place.devices else ROOM_WITHOUT_DEVICES,
        mqtt_extra=ROOMD_MQTT,
    )
    return installation.command("run")


def _floor(place: Place) -> Sequence[str]:
    return (sys.executable, "-m", "tests.bench.floor", _config(place))


def _xows(place: Place) -> Sequence[str]:
    interpreter = TOOLS / ".venv" / "bin" / "python"
    return (str(interpreter), str(Path(__file__).with_name("xows_pair.py")), _config(place))


def _jsxapi(place: Place) -> Sequence[str]:
    return ("node", str(Path(__file__).with_name("jsxapi_pair.js")), _config(place))


def _libraries(*names: str) -> Mapping[str, str]:
    return {name: version(name) for name in names}


def _in_private_environment(*names: str) -> Mapping[str, str]:
    asked = f"from importlib.metadata import version as v; print(*map(v, {names!r}))"
    told = subprocess.run(
        (TOOLS / ".venv" / "bin" / "python", "-c", asked), capture_output=True, text=True, check=True
    ).stdout
    return dict(zip(names, told.split(), strict=True))


def _in_node() -> Mapping[str, str]:
    node = subprocess.run(("node", "--version"), capture_output=True, text=True, check=True).stdout.strip()
    packages = {
        name: json.loads((TOOLS / "node_modules" / name / "package.json").read_text(encoding="utf-8"))[
            "version"
        ]
        for name in ("jsxapi", "mqtt")
    }
    return {"node": node.removeprefix("v"), **packages}


def _no_daemon() -> str:
    return "" if (ROOT / "agent" / "daemon.py").exists() else "agent/daemon.py is not there yet"


def _no_private_environment() -> str:
    there = (TOOLS / ".venv" / "bin" / "python").exists()
    return "" if there else "scripts/bench-install has not run"


def _no_node() -> str:
    if shutil.which("node") is None:
        return "no Node.js here"
    there = (TOOLS / "node_modules" / "jsxapi").exists()
    return "" if there else "scripts/bench-install has not run, or found no npm"


CONTENDERS: Final = (
    Contender(
        name="roomd",
        title="roomd",
        durable=True,
        command=_roomd,
        versions=lambda: _libraries("roomd"),
        environment={},
        absent=_no_daemon,
    ),
    Contender(
        name="floor",
        title="floor",
        durable=True,
        command=_floor,
        versions=lambda: _libraries("websockets", "uvloop", "msgspec", "paho-mqtt"),
        environment={},
        absent=str,
    ),
    Contender(
        name="xows",
        title="xows+aiomqtt",
        durable=False,
        command=_xows,
        versions=lambda: _in_private_environment("xows", "aiomqtt", "aiohttp", "paho-mqtt"),
        environment={},
        absent=_no_private_environment,
    ),
    Contender(
        name="jsxapi",
        title="jsxapi+mqtt.js",
        durable=False,
        command=_jsxapi,
        versions=_in_node,
        environment={"NODE_PATH": str(TOOLS / "node_modules")},
        absent=_no_node,
    ),
)
