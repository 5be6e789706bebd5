"""Who is measured: roomd, the floor, and Cisco's own clients with an MQTT client; and over which line."""

import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

from tests.bench.processes import ROOT
from tests.brokers.authority import Authority
from tests.brokers.ports import free_port
from tests.installation import install

Json = Mapping[str, Any]
LineName = Literal["websocket", "ssh", "http"]
Trial = Literal["events", "commands"]

TOOLS: Final = ROOT / ".tools" / "bench"
WINDOW: Final = 1000  # messages in flight, the same for all who let it be said
ROOM_WITHOUT_DEVICES: Final = '[[rooms]]\nid = "bare"'  # roomd wants one at least
ROOMD_MQTT: Final = f"window = {WINDOW}"
FEEDBACK: Final = """
[feedback]
listen = "127.0.0.1:{port}"
certificate_file = "{own.certificate_file}"
key_file = "{own.key_file}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a contender is given to run with."""

    directory: Path
    devices: Sequence[Json]
    authority: Path | None  # of the devices' certificates
    broker_port: int
    callback: Authority | None = None  # of the address where devices call back, which they trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    name: str
    title: str
    line: LineName
    durable: bool
    command: Callable[[Place], Sequence[str]]
    versions: Callable[[], Mapping[str, str]]
    environment: Mapping[str, str]
    absent: Callable[[], str]  # why it cannot run here, or nothing
    trial: Trial = "events"  # what is measured
    answers: bool = True  # commands
    tools: bool = False  # brought by scripts/bench-install


def _config(place: Place, line: LineName = "websocket") -> str:
    path = place.directory / "contender.json"
    path.write_text(
        json.dumps(
            {
                "directory": str(place.directory),
                "line": line,
                "devices": list(place.devices),
                "ca": str(place.authority),
                "broker_port": place.broker_port,
            }
        ),
        encoding="utf-8",
    )
    return str(path)


def _roomd(place: Place, line: LineName = "websocket") -> Sequence[str]:
    extra = "" if place.devices else ROOM_WITHOUT_DEVICES
    if place.callback is not None:
        extra += FEEDBACK.format(port=free_port(), own=place.callback)
    installation = install(
        place.directory / "roomd",
        devices=[{**device, "transport": line} for device in place.devices],
        broker_url=f"mqtt://127.0.0.1:{place.broker_port}",
        device_ca=place.authority,
        extra=extra,
        mqtt_extra=ROOMD_MQTT,
    )
    return installation.command("run")


def _floor(place: Place) -> Sequence[str]:
    return (sys.executable, "-m", "tests.bench.floor", _config(place))


def _xows(place: Place) -> Sequence[str]:
    interpreter = TOOLS / ".venv" / "bin" / "python"
    return (str(interpreter), str(Path(__file__).with_name("xows_pair.py")), _config(place))


def _jsxapi(place: Place, line: LineName = "websocket") -> Sequence[str]:
    return ("node", str(Path(__file__).with_name("jsxapi_pair.js")), _config(place, line))


def _libraries(*names: str) -> Mapping[str, str]:
    return {name: version(name) for name in names}


def _in_private_environment(*names: str) -> Mapping[str, str]:
    asked = f"from importlib.metadata import version as v; print(*map(v, {names!r}))"
    told = subprocess.run(
        (TOOLS / ".venv" / "bin" / "python", "-c", asked), capture_output=True, text=True, check=True
    ).stdout
    return dict(zip(names, told.split(), strict=True))


def _in_node(*names: str) -> Mapping[str, str]:
    node = subprocess.run(("node", "--version"), capture_output=True, text=True, check=True).stdout.strip()
    packages = {
        name: json.loads((TOOLS / "node_modules" / name / "package.json").read_text(encoding="utf-8"))[
            "version"
        ]
        for name in names
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
        line="websocket",
        durable=True,
        command=_roomd,
        versions=lambda: _libraries("roomd"),
        environment={},
        absent=_no_daemon,
    ),
    Contender(
        name="floor",
        title="floor",
        line="websocket",
        durable=True,
        command=_floor,
        versions=lambda: _libraries("websockets", "uvloop", "msgspec", "paho-mqtt"),
        environment={},
        absent=str,
    ),
    Contender(
        name="xows",
        title="xows+aiomqtt",
        line="websocket",
        durable=False,
        command=_xows,
        versions=lambda: _in_private_environment("xows", "aiomqtt", "aiohttp", "paho-mqtt"),
        environment={},
        absent=_no_private_environment,
        tools=True,
    ),
    Contender(
        name="jsxapi",
        title="jsxapi+mqtt.js",
        line="websocket",
        durable=False,
        command=_jsxapi,
        versions=lambda: _in_node("jsxapi", "mqtt"),
        environment={"NODE_PATH": str(TOOLS / "node_modules")},
        absent=_no_node,
        tools=True,
    ),
    Contender(
        name="roomd-commands",
        title="roomd",
        line="websocket",
        durable=True,
        command=_roomd,
        versions=lambda: _libraries("roomd"),
        environment={},
        absent=_no_daemon,
        trial="commands",
    ),
    Contender(
        name="floor-commands",
        title="floor",
        line="websocket",
        durable=True,
        command=_floor,
        versions=lambda: _libraries("websockets", "uvloop", "msgspec", "paho-mqtt"),
        environment={},
        absent=str,
        trial="commands",
        answers=False,
    ),
    Contender(
        name="roomd-ssh",
        title="roomd-ssh",
        line="ssh",
        durable=True,
        command=functools.partial(_roomd, line="ssh"),
        versions=lambda: _libraries("roomd", "asyncssh"),
        environment={},
        absent=_no_daemon,
    ),
    Contender(
        name="jsxapi-ssh",
        title="jsxapi-ssh+mqtt.js",
        line="ssh",
        durable=False,
        command=functools.partial(_jsxapi, line="ssh"),
        versions=lambda: _in_node("jsxapi", "ssh2", "mqtt"),
        environment={"NODE_PATH": str(TOOLS / "node_modules")},
        absent=_no_node,
        tools=True,
    ),
    Contender(
        name="roomd-http",
        title="roomd-http",
        line="http",
        durable=True,
        command=functools.partial(_roomd, line="http"),
        versions=lambda: _libraries("roomd", "httpx"),
        environment={},
        absent=_no_daemon,
    ),
)
