"""Shows a site in a terminal: its rooms at a glance, and the facts as they pass."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.signs import printable as printable  # noqa: PLC0414 - who shows something finds it here

FACTS_KEPT = 200
FEWEST_FACTS = 3
MOST_TROUBLES = 3
BLANK_LINES = 3  # between head, rooms, foot and facts
NAME_WIDTH = 16  # a room is to be told from the next one, whatever else is cut off
STATE_WIDTH = 16  # "in use, unbooked"
CALENDAR_WIDTH = 9  # "microsoft"
BACKLOG = 100  # envelopes; more than that waiting is worth a colour

Json = Mapping[str, Any]

_PHASES = {"active": "green", "connecting": "dim", "degraded": "yellow"}
_COLOURS = {
    "requested": "yellow",
    "confirmed": "green",
    "failed": "red",
    "expired": "red",
    "deleted": "magenta",
    "attended": "green",
    "deserted": "yellow",
    "ghost": "magenta",
    "released": "green",
    "release_failed": "red",
    "lost": "red",
    "refused": "bold red",
    "connected": "green",
    "misconfigured": "yellow",
    "degraded": "yellow",
    "revoked": "bold red",
    "switched": "magenta",
    "gap": "bold red",
    "reset": "bold red",
}


def rooms_table(picture: Json, *, zone: tzinfo | None = None) -> Table:
    """Rooms with their current and next booking, their people, and their devices."""
    table = Table(expand=True, pad_edge=False, box=None, header_style="bold")
    longest = max((cell_len(str(room["name"])) for room in picture["rooms"]), default=0)
    table.add_column("Room", ratio=2, width=min(longest, NAME_WIDTH), no_wrap=True, overflow="ellipsis")
    table.add_column("State", min_width=STATE_WIDTH, no_wrap=True)
    for name in ("Now", "Next"):
        table.add_column(name, ratio=4, no_wrap=True, overflow="ellipsis")
    table.add_column("People", justify="right", no_wrap=True)
    linked = any(room["availability"]["calendars"] for room in picture["rooms"])
    if linked:
        table.add_column("Calendar", ratio=2, min_width=CALENDAR_WIDTH, no_wrap=True, overflow="ellipsis")
    table.add_column("Device", ratio=3, no_wrap=True, overflow="ellipsis")
    for room in picture["rooms"]:
        state, reach = room["state"], room["availability"]
        table.add_row(
            str(room["name"]),
            _word(state, reach),
            _now(state, zone),
            _next(state, zone),
            _people(state["occupancy"], room.get("capacity")),
            *((_believed(state["calendar"], str(picture["at"])),) if linked else ()),
            _devices(reach),
        )
    return table


def calendars_shown(services: Iterable[Json], *, zone: tzinfo | None = None) -> list[RenderableType]:
    """Each calendar service with its rooms, and what to do where one cannot be read."""
    shown: list[RenderableType] = []
    for each in services:
        rooms = [room for room in each["rooms"] if room["address"]]
        readable = sum(room["phase"] == "active" for room in rooms)
        line = Text(f"{each['service']} ", style="bold")
        line.append(each["phase"], style=_PHASES.get(each["phase"], "red"))
        line.append(f" since {_clock(each['since'], zone)}, {readable} of {len(rooms)} rooms are read")
        shown.append(line)
        if each["why"]:
            shown.append(Text(printable(each["why"]), style="yellow"))
        if each["pushes"]:
            shown.append(Text(f"Not told of changes: {printable(each['pushes'])}", style="yellow"))
        table = Table(pad_edge=False, box=None, header_style="bold")
        hybrid = each.get("hybrid")  # of Webex, which is read for this
        what = ("Calendar",) if hybrid is None else ("Workspace", "Hybrid Calendar")
        for name in ("Room", *what, "State", "Read at", "Told of changes"):
            table.add_column(name, overflow="fold")
        for room in each["rooms"]:
            table.add_row(
                room["room"],
                printable(room["address"] or "none"),
                *(() if hybrid is None else (hybrid.get(room["room"], "–"),)),
                Text(room["phase"] if room["address"] else "–", style=_PHASES.get(room["phase"], "red")),
                _clock(room["listed_at"], zone, seconds=True) if room["listed_at"] else "–",
                "yes" if room["pushed"] else "no",
            )
        shown.append(table)
        shown += [
            Text(f"{room['room']}: {printable(room['why'])}", style="yellow")
            for room in each["rooms"]
            if room["why"] and room["why"] != each["why"]
        ]
        shown.append(Text())
    return shown[:-1]


def links_shown(services: Iterable[Json]) -> list[RenderableType]:
    """Which calendar is which room's and why; what a person must say, with the lines to write."""
    shown: list[RenderableType] = []
    for each in services:
        service = each["service"]
        linked = [room for room in each["rooms"] if room["address"]]
        doubtful = {doubt["room"] for doubt in each["doubts"]}
        alone = [room["room"] for room in each["rooms"] if not room["address"]]
        without = [room for room in alone if room not in doubtful]
        shown.append(Text(f"{service}: {len(linked)} of {len(each['rooms'])} rooms are linked", style="bold"))
        table = Table(pad_edge=False, box=None, header_style="bold")
        for name in ("Room", "Calendar", "How"):
            table.add_column(name, overflow="fold")
        for room in linked:
            how = room["ground"] or "as it was found before"
            table.add_row(room["room"], printable(room["address"]), how)
        if linked:
            shown.append(table)
        for doubt in each["doubts"]:
            shown.append(Text(f"{doubt['room']}: {printable(doubt['why'])}", style="yellow"))
            shown += [_candidate(doubt["room"], service, one) for one in doubt["candidates"]]
        if without and each["phase"] != "active" and not each["others"]:
            why = each["why"] or "it has not answered yet"
            shown.append(Text(f"The list of rooms could not be read: {printable(why)}", style="yellow"))
        elif without:
            shown.append(Text(f"No calendar is like these rooms: {', '.join(without)}"))
        if each["others"]:
            names = ", ".join(printable(f"{one['name']} ({one['id']})") for one in each["others"])
            shown.append(Text(f"Nobody's calendars: {names}", style="dim"))
        shown.append(Text())
    return shown[:-1]


def _candidate(room: str, service: str, one: Json) -> Text:
    line = Text(f'  {printable(one["name"])}, {one["score"]:.0%} alike: write below id = "{room}":  ')
    return line.append(f'calendar = {{ {service} = "{printable(one["id"])}" }}', style="bold")


def _believed(calendar: Json, at: str) -> Text:
    """Whose word the agenda is, and since when it has been so old."""
    if calendar["believed"] is None:
        return Text("–", style="dim")
    name = Text(str(calendar["believed"]).replace("_", " "))
    if calendar["listed_at"] is not None:
        age = datetime.fromisoformat(at) - datetime.fromisoformat(calendar["listed_at"])
        name.append(f", {max(age.total_seconds(), 0.0) // 60:.0f} min", style="dim")
    if not calendar["fresh"]:
        name.stylize("yellow")
    return name


def troubles(picture: Json) -> list[Text]:
    """Why a room is not heard, or not well, or over which line: in full, for the table has no room for it."""
    found = [
        Text(f"{room['name']}: {printable(str(room['availability']['why']))}", style="yellow")
        for room in picture["rooms"]
        if room["availability"]["why"] and room["availability"]["state"] != "unknown"
    ]
    detours: dict[tuple[str, str], list[str]] = {}  # a service that is off is mostly off on many of them
    for room in picture["rooms"]:
        for device in room["availability"]["devices"]:
            if device["phase"] == "connected" and device["transport_why"]:
                detours.setdefault((device["transport"], device["transport_why"]), []).append(
                    str(room["name"])
                )
    found += [
        Text(f"Heard over {transport} only: {', '.join(rooms)}. Because of {printable(why)}", style="dim")
        for (transport, why), rooms in detours.items()
    ]
    return found


def health_line(picture: Json) -> Text:
    """Broker, outbox and devices in a line."""
    return _footline(picture)


def fact_line(event: Json, *, zone: tzinfo | None = None) -> Text:
    """One fact in a line: when, where, what, and of which booking."""
    noun, past = str(event["type"]).removeprefix("roomd.").split(".")[:2]
    data: Json = event["data"]
    room = str(event["source"]).rsplit("/", 1)[-1]
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(_clock(str(event["time"]), zone, seconds=True), style="dim")
    line.append(f"  {room:<14} ")
    line.append(f"{noun + '.' + past:<20} ", style=_COLOURS.get(past, "cyan"))
    match noun:
        case "booking":
            line.append(_title(data, zone))
            line.append(_change(data, zone), style="cyan")
            line.append(_who_came(data, past))
            if data.get("minutes_freed"):
                line.append(f"  {data['minutes_freed']:.0f} min freed", style="green")
            _append_cause(line, data, past)  # before ids: a terminal may be too narrow for both
            for what in ("booking", "meeting"):
                if data[f"{what}_id"]:
                    line.append(f"  {what} {printable(data[f'{what}_id'])}", style="dim")
            if data.get("after_s") is not None:
                line.append(f"  after {data['after_s']:.1f} s", style="dim")
        case "occupancy":
            line.append(_sensed(data))
            if data.get("sensor"):
                line.append(f"  {printable(data['sensor'])}", style="dim")
        case "room":
            line.append(_used(data, zone) if past == "used_unbooked" else _counted(data))
        case "hold":
            line.append(_held(data, zone))
        case "calendar" if past == "switched":
            line.append(f"{data['previous'] or 'none'} → {data['calendar'] or 'none'}".replace("_", " "))
        case "calendar":
            line.append(f"{data['calendar']} {data['phase']}")
        case "device":
            line.append(printable(" ".join(str(data[k]) for k in ("product", "firmware") if data.get(k))))
        case _:
            line.append(printable(str(data.get("reason", ""))))
    if noun != "booking":
        _append_cause(line, data, past)
    if event.get("recovered"):
        line.append("  recovered", style="dim italic")
    return line


def _append_cause(line: Text, data: Json, past: str) -> None:
    if data.get("cause") and data["cause"] != past:
        line.append(f"  {printable(str(data['cause']))}", style="yellow")


def _held(data: Json, zone: tzinfo | None) -> str:
    words = f"{_clock(data['starts_at'], zone)}–{_clock(data['ends_at'], zone)} {printable(data['hold'])}"
    if data["previous_ends_at"]:
        words += f"  (end was {_clock(data['previous_ends_at'], zone)})"
    if data["device"]:
        words += f"  {data['device']} {data['surface'] or ''}".rstrip()
    return words + (f"  “{printable(data['answer'])}”" if data["answer"] else "")


def _who_came(data: Json, past: str) -> str:
    """What is known of who came to a booking, beside what the name of the fact says already."""
    if past == "deserted":
        return "  all have left" if data["came"] else "  nobody came"
    words = f"  {data['outcome']}" if past == "judged" else ""
    if past == "judged" and data["minutes_unknown"]:
        words += f", {data['minutes_unknown']:.0f} min not known"
    if past in {"attended", "judged"} and data["people_peak"]:
        words += f"  {_many(data['people_peak'], 'person', 'people')}"
    return words


def _used(data: Json, zone: tzinfo | None) -> str:
    words = f"{_clock(data['starts_at'], zone)}–{_clock(data['ends_at'], zone)} {data['minutes']:.0f} min"
    return words + (f"  {_many(data['people_peak'], 'person', 'people')}" if data["people_peak"] else "")


def _counted(day: Json) -> str:
    """A day of a room, in few words."""
    ghosts = f", {_many(day['ghosts'], 'ghost', 'ghosts')}" if day["ghosts"] else ""
    return (
        f"{day['day']}  {_many(day['bookings'], 'booking', 'bookings')}{ghosts}, "
        f"{day['in_use_min'] / 60:.1f} h in use, {day['unknown_min'] / 60:.1f} h not known"
    )


def _many(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


async def show_live(
    answers: AsyncIterator[Json],
    console: Console,
    *,
    zone: tzinfo | None = None,
    note: str = "",
    passed: deque[Text] | None = None,
) -> None:
    """Redraw the site as the daemon tells of it, until it stops telling.

    A note of the caller's stands on top, and what the caller adds to `passed` stands among the facts.
    """
    picture: Json | None = None
    passed = deque(maxlen=FACTS_KEPT) if passed is None else passed
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        async for answer in answers:
            if "event" in answer:
                passed.append(fact_line(answer["event"], zone=zone))
            elif "missed" in answer:
                passed.append(Text(f"… {answer['missed']} facts went by unseen", style="dim"))
            elif "rooms" in answer:
                picture = answer
            if picture is not None:
                live.update(_screen(picture, passed, console, zone, note), refresh=True)


def _screen(
    picture: Json, passed: Iterable[Text], console: Console, zone: tzinfo | None, note: str
) -> RenderableType:
    """Everything that fits: a few facts in any case, then the rooms, then what is wrong, then more facts."""
    top = Group(_headline(picture), *(Text(line, style="cyan") for line in note.splitlines()))
    foot = _footline(picture)
    left = console.height - _height(top, console) - _height(foot, console) - BLANK_LINES - FEWEST_FACTS - 1
    rooms = picture["rooms"]
    shown = rooms if len(rooms) <= left else rooms[: max(1, left - 1)]
    below: list[RenderableType] = []
    left -= len(shown)
    if len(shown) < len(rooms):
        below.append(Text(f"… and {len(rooms) - len(shown)} rooms more", style="dim"))
        left -= 1
    for trouble in troubles(picture)[:MOST_TROUBLES]:
        if (needed := _height(trouble, console)) > left:
            break
        below.append(trouble)
        left -= needed
    left += FEWEST_FACTS
    facts: list[Text] = []
    for fact in reversed(list(passed)):
        left -= _height(fact, console)
        if left < 0:
            break
        facts.insert(0, fact)
    table = rooms_table({**picture, "rooms": shown}, zone=zone)
    return Group(top, Text(), table, *below, Text(), foot, Text(), *facts)


def _height(shown: RenderableType, console: Console) -> int:
    return len(console.render_lines(shown, pad=False))


def _change(data: Json, zone: tzinfo | None) -> str:
    """What was before a booking moved or was updated, in a few words."""
    before: Json = data.get("previous") or {}
    was = [
        f"{name.removesuffix('s_at')} was {_clock(before[name], zone)}"
        for name in ("starts_at", "ends_at")
        if before.get(name)
    ]
    was += [name.replace("_", " ") for name in before if name not in {"starts_at", "ends_at", "all_day"}]
    return f"  ({', '.join(was)})" if was else ""


def _headline(picture: Json) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"roomd {picture['version']}", style="bold")
    line.append(f"  site {picture['site']}  agent {picture['agent']}", style="dim")
    return line


def _footline(picture: Json) -> Text:
    outbox, broker, devices = picture["outbox"], picture["broker"], picture["devices"]
    line = Text()
    line.append("Broker ", style="bold")
    if broker["connected"]:
        line.append("connected", style="green")
        if broker["deaf_why"]:
            line.append(f", brings no commands: {printable(broker['deaf_why'])}", style="red")
    else:
        line.append(f"away: {printable(str(broker['why'] or 'connecting'))}", style="red")
    line.append("   Outbox ", style="bold")
    line.append(f"{outbox['depth']} waiting", style="yellow" if outbox["depth"] > BACKLOG else "")
    if outbox["oldest_age_s"]:
        line.append(f", the oldest for {outbox['oldest_age_s']:.0f} s")
    line.append(f", {outbox['delivered']} delivered")
    line.append("   Devices ", style="bold")
    line.append(", ".join(f"{count} {phase}" for phase, count in devices.items() if count) or "none")
    if calendars := picture.get("calendars"):
        line.append("   Calendars ", style="bold")
        for number, each in enumerate(calendars):
            line.append(", " if number else "")
            line.append(f"{each['service']} {each['phase']}", style=_PHASES.get(each["phase"], "red"))
    if sensors := picture.get("sensors"):
        line.append("   Sensors ", style="bold")
        if not sensors["connected"]:
            line.append(f"away: {printable(str(sensors['why'] or 'connecting'))}", style="red")
        else:
            every = [each for room in picture.get("rooms", ()) for each in room["availability"]["sensors"]]
            heard = sum(each["phase"] == "heard" for each in every)
            line.append(f"{heard} of {len(every)} heard" if every else "connected")
            if sensors["why"]:
                line.append(f", {printable(sensors['why'])}", style="red")
    if why := picture.get("sealing_why"):
        line.append(f"   Sealed for the old key: {printable(why)}", style="red")
    return line


def _word(state: Json, reach: Json) -> Text:
    if reach["state"] == "unavailable":
        return Text("not heard", style="red")
    if reach["state"] == "unknown":
        return Text("unknown", style="dim")
    occupancy = state["occupancy"]
    if state["hold"] is not None and state["hold"]["shown"] and state["current"] is None:
        return Text("held", style="cyan")
    if state["current"] is not None:
        if (release := state.get("release")) is not None and release["warned_at"] is not None:
            return Text("asked if in use", style="yellow")
        if occupancy["in_use"] is False:
            return Text("booked, empty", style="yellow")
        return Text("booked", style="red")
    if occupancy["in_use"]:
        return Text("in use, unbooked", style="magenta")
    if occupancy["in_use"] is None and not reach["devices"] and not reach["calendars"]:
        return Text("unknown", style="dim")  # it has sensors alone, and they say nothing
    return Text("free", style="green")


def _now(state: Json, zone: tzinfo | None) -> Text:
    hold = state["hold"]
    if hold is None or not hold["shown"]:
        return _booking(state["current"], zone)
    held = f"held until {_clock(hold['ends_at'], zone)}"
    return Text(held if state["current"] is None else f"{_title(state['current'], zone)}, {held}")


def _next(state: Json, zone: tzinfo | None) -> Text:
    asked = [b for b in state["agenda"] if b["phase"] in {"requested", "pending"}]
    if asked:
        return Text(f"{_title(asked[0], zone)}  asked for", style="yellow")
    return _booking(state["next"], zone)


def _booking(booking: Json | None, zone: tzinfo | None) -> Text:
    return Text("–", style="dim") if booking is None else Text(_title(booking, zone))


def _title(booking: Json, zone: tzinfo | None) -> str:
    times = f"{_clock(booking['starts_at'], zone)}–{_clock(booking['ends_at'], zone)}"
    title = printable(booking["title"] or ("private" if booking["private"] else ""))
    return f"{times} {title}".rstrip()


def _people(occupancy: Json, capacity: int | None) -> Text:
    people = occupancy["people"]
    if people is None:
        return Text("?", style="dim")
    return Text(f"{people}/{capacity}" if capacity else str(people))


def _sensed(data: Json) -> str:
    before: Json = data["previous"]
    return ", ".join(
        f"{name.replace('_', ' ')} {_said(before.get(name))} → {_said(data[name])}"
        for name in ("people", "presence", "in_use", "in_call", "sharing")
        if before.get(name) != data[name]
    )


def _said(value: object) -> str:
    match value:
        case None:
            return "?"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def _devices(reach: Json) -> Text:
    if reach["state"] == "available":
        products = ", ".join(
            str(d["product"]).removeprefix("Cisco ")
            + ("" if d["transport"] == "websocket" else f" ({d['transport']})")
            for d in reach["devices"]
        ) or ", ".join(str(each["sensor"]) for each in reach.get("sensors", ()))
        return Text(printable(products), style="dim")
    if reach["state"] == "degraded":
        return Text("see below", style="yellow")
    return Text("see below" if reach["why"] and reach["state"] != "unknown" else "", style="red")


def _clock(instant: str, zone: tzinfo | None, *, seconds: bool = False) -> str:
    local = datetime.fromisoformat(instant).astimezone(zone or UTC)
    return local.strftime("%H:%M:%S" if seconds else "%H:%M")
