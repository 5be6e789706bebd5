"""`python -m tests.simulator`: a site of devices for demonstrations, proofs and benchmarks."""

import argparse
import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import uvloop

from tests.simulator.bookings import CalendarKind
from tests.simulator.control import controlled
from tests.simulator.device import Service
from tests.simulator.firmware import ALL_VERSIONS
from tests.simulator.pages import shown
from tests.simulator.replay import Replay
from tests.simulator.scripts import demonstrate, fill_day
from tests.simulator.site import SERVICES, Site

DEMO_RATE: Final = 1.2  # deeds per second: something to see every second or two
FLOOD_RATE: Final = 1_000.0
SSH_PORT: Final = 8022


async def simulate(options: argparse.Namespace) -> None:
    """Stands until somebody says stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, stop.set)
    if options.replay:
        host, port, speed = options.address_base, options.port, options.speed
        async with Replay(options.replay, host=host, port=port, speed=speed) as replay:
            sys.stdout.write(f"ready rooms=1 first={host} port={replay.port} sha256:{replay.fingerprint}\n")
            sys.stdout.flush()
            await stop.wait()
        return
    async with contextlib.AsyncExitStack() as stack:
        site = await stack.enter_async_context(
            Site(
                options.rooms,
                profile=options.profile,
                calendar=options.calendar,
                seed=options.seed,
                speed=options.speed,
                address_base=options.address_base,
                port=options.port,
                ssh_port=options.ssh_port
                if options.ssh_port is not None
                else SSH_PORT
                if options.port
                else 0,
                services=services_of(options.services),
                self_signed=options.self_signed,
                ids=options.ids,
            )
        )
        if options.control:
            await stack.enter_async_context(controlled(site, options.control))
        if options.directory:
            site.write(options.directory)
        pages = await stack.enter_async_context(shown(site, options.pages)) if options.pages else ""
        begin(site, options)
        gc.collect()
        gc.freeze()  # the devices stay; collecting around them would delay frames
        first = site.devices[0].host if site.devices else options.address_base
        screens = f" screens={pages}" if pages else ""
        sys.stdout.write(f"ready rooms={len(site.devices)} first={first} port={site.port}{screens}\n")
        sys.stdout.flush()
        await stop.wait()


def begin(site: Site, options: argparse.Namespace) -> None:
    """Starts the script."""
    match options.script:
        case "demo":
            rooms = len(site.devices) - options.unbooked
            fill_day(site, rooms=rooms)
            site.own(demonstrate(site, options.rate or DEMO_RATE, rooms=rooms), name="demo")
        case "flood":
            site.flood.start(options.rate or FLOOD_RATE, timestamps=options.timestamps)
        case "quiet":
            fill_day(site)
        case _:
            pass


def services_of(text: str) -> Sequence[Service] | Literal["mix"] | None:
    """What `--services` says; ValueError for a service that there is not."""
    if text in ("", "mix"):
        return "mix" if text else None
    wanted = text.split(",")
    if unknown := set(wanted) - set(SERVICES):
        raise ValueError(f"no service {', '.join(unknown)}")
    return [service for service in SERVICES if service in wanted]


def options_of(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--rooms", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--address-base", default="127.1.0.1", help="of the first device; the others follow")
    parser.add_argument(
        "--port", type=int, default=8443, help="the same at every address; 0 finds a free one"
    )
    parser.add_argument(
        "--ssh-port", type=int, help=f"the same at every address; {SSH_PORT}, or a free one where --port is 0"
    )
    parser.add_argument("--control", default="", metavar="PATH", help="a Unix socket, or host:port")
    parser.add_argument(
        "--pages",
        default="",
        metavar="HOST:PORT",
        help="where the rooms' screens can be looked at; or a port",
    )
    parser.add_argument("--profile", choices=("mix", "every", *ALL_VERSIONS.values()), default="mix")
    parser.add_argument("--calendar", choices=("mix", *CalendarKind), default="mix")
    parser.add_argument(
        "--services",
        default="",
        help="what every device offers, of websocket,ssh,http; mix: one all, one ssh, one http",
    )
    parser.add_argument("--script", choices=("demo", "quiet", "flood", "none"), default="quiet")
    parser.add_argument(
        "--unbooked",
        type=int,
        default=0,
        help="demo: in so many rooms, the last ones, nothing happens by itself",
    )
    parser.add_argument("--rate", type=float, default=0.0, help="per second: deeds (demo), counts (flood)")
    parser.add_argument("--timestamps", action="store_true", help="remember when each count was sent")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="how much faster time passes; of a replay also inf"
    )
    parser.add_argument("--ids", choices=("numbers", "names"), default="numbers", help="of the rooms")
    parser.add_argument("--self-signed", action="store_true", help="no authority; trust the fingerprints")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="no site: one device that says what `roomd record` heard"
    )
    parser.add_argument("--directory", type=Path, help="where ca.pem, known_hosts and site.json go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    uvloop.run(simulate(options_of(sys.argv[1:])))
