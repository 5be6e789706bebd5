"""What is done to roomd while it reads calendars: in the clouds, on the way there, and to itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from tests.brokers import BadLine
from tests.clouds.serving import CUT, SILENCE, Request, Response, text, tree
from tests.prove import forgery
from tests.prove.cloud import Cloud
from tests.prove.clouds import Linked, Room, Service
from tests.prove.plots.processes import struck
from tests.prove.plots.states import damage, emptied, garbage, one_page, told
from tests.prove.scenario import Scenario
from tests.prove.world import Setting, World
from tests.simulator.bookings import Answer, CalendarKind

SETTLED_WITHIN_S: Final = 60.0
ANSWERED_WITHIN_S: Final = 150.0  # what no answer came to is waited for until a listing had its chance
TURNED_WITHIN_S: Final = 40.0
HURRY: Final = "broker,devices,states,calendars"
SOME: Final = Linked(microsoft=4, google=4, bare=4)
PUSHED: Final = Linked(microsoft=3, google=3, bare=2, pushes=True)
FORGED: Final = 10_000

# How often a point is passed before it strikes.
AT_LISTINGS: Final = {
    "before a calendar's turn is taken in": (3,),
    "before a listing is taken in": (1, 7, 25),
    "after append": (2, 15),
    "before COMMIT": (3, 20),
    "after COMMIT": (4,),
    "after the snapshot": (5,),
    "after PUBLISH": (6,),
    "before it is settled": (8,),
}
AT_LOST_CONSENT: Final = ("before lost consent is kept", "while lost consent is kept")
GIVES_UP_AFTER_S: Final = 62.0 - 42.0  # a device, and who waits for a calendar; so long was waited already
AT_A_BOOKING: Final = {
    "before a command is kept": (1,),
    "while a command is kept": (2,),
    "before a command is taken up": (1,),
    "before a calendar is asked to book": (1, 2),
    "before a calendar's answer is taken in": (1, 2),
    "before an answer is recorded": (1,),
    "while an answer is recorded": (2,),
    "before an answer leaves": (1,),
    "after an answer has left": (2,),
}
BOOKED_TIMES: Final = {  # at least and at most, by the answer
    "done": (1, 1),
    "refused": (0, 0),
    "expired": (0, 0),
    "failed": (0, 0),
    "unknown": (0, 1),
}
AFTER_ALL_S: Final = 12 * 3600  # that stands in a room
STORMS_FOR_S: Final = 45.0
AT_A_WATCH: Final = "while a watch is kept"
AT_NEW_CONSENT: Final = ("before consent is kept", "while consent is kept")


# ── killed while people book ──────────────────────────────────────────────────────────────────────


async def killed_among_listings(w: World) -> None:
    await w.roomd.kill()
    w.fault(breaks=1)
    for point, passed in AT_LISTINGS.items():
        for times in passed:
            await w.start(die_at=f"{point}:{times}")
            await struck(w, point)
    for _ in range(6):
        await w.start()
        await asyncio.sleep(w.luck.uniform(0.5, 4.0))
        await w.roomd.kill()
        w.fault(breaks=1)
    await w.start()
    await w.goes_on(3)


# ── clouds that are not there, or not themselves ──────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What a cloud answers in place of what it should."""

    name: str
    answer: Callable[[Request], Response | None]


HTML: Final = (
    "<!doctype html><html><title>Sign in</title><body>Please log in to the guest network.</body></html>"
)
DEEP: Final = "[" * 50_000 + "]" * 50_000


def _html(_: Request) -> Response:
    return Response(headers={"Content-Type": "text/html"}, body=HTML.encode())


def _portal(_: Request) -> Response:
    return Response(status=302, headers={"Location": "https://portal.example/login"})


def _garbage(_: Request) -> Response:
    return Response(headers={"Content-Type": "application/json"}, body=b'{"value": [{"id": "\xff\xfe')


def _deep(_: Request) -> Response:
    return Response(headers={"Content-Type": "application/json"}, body=DEEP.encode())


def _of_a_portal(_: Request) -> Response:
    """JSON, well formed, and of somebody else."""
    return tree({"status": "ok"})


def _nulls(_: Request) -> Response:
    return tree({"value": None, "items": None, "responses": None, "access_token": None})


def _huge(_: Request) -> Response:
    return Response(headers={"Content-Type": "application/json"}, body=b" " * (9 * 1024 * 1024) + b"{}")


def _busy(_: Request) -> Response:
    return tree({"error": {"code": "TooManyRequests", "message": "later"}}, 429, Retry_After="1")


def _unavailable(_: Request) -> Response:
    return text("upstream connect error", HTTPStatus.SERVICE_UNAVAILABLE, Retry_After="1")


def _broken(_: Request) -> Response:
    return tree({"error": {"code": "InternalServerError", "message": "sorry"}}, 500)


def _endless(request: Request) -> Response | None:
    """Pages that each promise another; tokens are given as ever."""
    if request.path.endswith("token"):
        return None
    if request.path.endswith("$batch"):
        views = [
            {
                "id": each["id"],
                "status": 200,
                "headers": {"Content-Type": "application/json"},
                "body": {
                    "value": [],
                    "@odata.nextLink": f"https://{request.headers['host']}/v1.0{each['url']}",
                },
            }
            for each in request.json()["requests"]
        ]
        return tree({"responses": views})
    link = f"https://{request.headers['host']}{request.target}"
    return tree(
        {"value": [], "@odata.nextLink": link, "items": [], "nextPageToken": "more", "timeZone": "UTC"}
    )


WEATHERS: Final = (
    Weather(name="a page to log in at", answer=_html),
    Weather(name="a redirection to a portal", answer=_portal),
    Weather(name="half a tree", answer=_garbage),
    Weather(name="a tree too deep", answer=_deep),
    Weather(name="another's JSON", answer=_of_a_portal),
    Weather(name="nulls", answer=_nulls),
    Weather(name="nine megabytes", answer=_huge),
    Weather(name="429 with Retry-After", answer=_busy),
    Weather(name="503 with Retry-After", answer=_unavailable),
    Weather(name="500", answer=_broken),
    Weather(name="answers cut in half", answer=lambda _: CUT),
    Weather(name="no answer", answer=lambda _: SILENCE),
    Weather(name="pages that never end", answer=_endless),
)


async def in_all_weathers(w: World) -> None:
    for weather in w.luck.sample(WEATHERS, len(WEATHERS)):
        with _weather(w, weather.answer):
            w.fault()
            await asyncio.sleep(3.5)
        await w.goes_on(0.5)
        before = len(w.clouds.emptied)
        await _settled(w)
        for wrong in w.clouds.emptied[before:]:
            w.tally.wrongs.append(f"{weather.name}: {wrong}")
    await w.goes_on(1)


@contextmanager
def _weather(w: World, answer: Callable[[Request], Response | None]) -> Iterator[None]:
    for serving in w.clouds.servings.values():
        serving.interrupt = answer
    try:
        yield
    finally:
        for serving in w.clouds.servings.values():
            serving.interrupt = lambda _: None


async def _settled(w: World) -> None:
    """Rooms are as they should be again; people rest meanwhile."""
    await w.end_day()
    try:
        await w.settled(within_s=SETTLED_WITHIN_S)
    finally:
        w.begin_day()


async def gone_until_stale(w: World) -> None:
    """Until nobody believes what was read last; then devices are, where they know anything."""
    for half_open in (False, True):
        await w.end_day()
        await w.settled(within_s=SETTLED_WITHIN_S)
        w.clouds.follow_now()
        await asyncio.sleep(1)
        for line in w.clouds.lines.values():
            if half_open:
                line.pause()
            else:
                line.refuse()
                line.cut()
        w.fault()
        await w.recorder.until(lambda: _fallen_back(w), within_s=TURNED_WITHIN_S)
        w.begin_day()
        await asyncio.sleep(3)
        await w.roomd.kill()  # and it starts without them
        w.fault(breaks=1)
        await w.start()
        await asyncio.sleep(6)
        for line in w.clouds.lines.values():
            if half_open:
                line.resume()
                line.cut()
            else:
                await line.listen()
        await w.goes_on(1)


def _fallen_back(w: World) -> bool:
    """Rooms whose devices know the calendar's bookings believe their devices."""
    return all(believed(w, room) != room.service for room in w.clouds.rooms if _followed(room))


def _followed(room: Room) -> bool:
    return room.device is not None and room.device.kind is CalendarKind.HYBRID


def believed(w: World, room: Room) -> str | None:
    """Whose word counts in a room, as its last state says."""
    found: str | None = w.states().get(room.id, {}).get("calendar", {}).get("believed")
    return found


# ── consent ───────────────────────────────────────────────────────────────────────────────────────


async def consent_taken(w: World) -> None:
    for number, service in enumerate((Service.MICROSOFT, Service.GOOGLE)):
        await w.roomd.kill()
        w.fault(breaks=1)
        point = AT_LOST_CONSENT[number]
        await w.start(die_at=f"{point}:1")
        await w.settled(within_s=SETTLED_WITHIN_S)
        _take_consent(w, service)
        await struck(w, point)
        await w.start()
        await _off(w, service)
        await _on_again(w, service, point=AT_NEW_CONSENT[number])
    await w.roomd.stop()
    w.fault(breaks=1)
    _take_consent(w, Service.MICROSOFT)  # while nobody looks
    await w.start()
    await _off(w, Service.MICROSOFT)
    await _on_again(w, Service.MICROSOFT)
    await _watched(w)
    w.tally.wrongs += w.clouds.watched_twice(Service.MICROSOFT)
    await w.goes_on(1)
    await w.end_day()
    await w.clouds.touch_all()


def _take_consent(w: World, service: Service) -> None:
    w.fault()
    if service is Service.MICROSOFT:
        w.clouds.microsoft.faults.token_refusal = (401, "unauthorized_client", 700016)
        w.clouds.microsoft.expire_tokens()
    else:
        w.clouds.google.faults.token_refusal = (401, "unauthorized_client", "Client is unauthorized.")
        w.clouds.google.forget_tokens()


def _give_consent(w: World, service: Service) -> None:
    if service is Service.MICROSOFT:
        w.clouds.microsoft.faults.token_refusal = None
    else:
        w.clouds.google.faults.token_refusal = None


async def _off(w: World, service: Service) -> None:
    """It is told as revoked, and from then on nothing of it is used, also after a restart."""
    rooms = [room for room in w.clouds.rooms if room.service is service]
    before = {room.id: len(w.recorder.of_kind("calendar.connected", room.id)) for room in rooms}
    await w.recorder.until(
        lambda: all(w.reach(room.id, service) == "revoked" for room in rooms), within_s=TURNED_WITHIN_S
    )
    await asyncio.sleep(1)  # what was on its way
    revoked = {room.id: len(w.recorder.of_kind("calendar.revoked", room.id)) for room in rooms}
    heard = w.clouds.requests(service)
    await asyncio.sleep(2)
    await w.roomd.kill()
    w.fault(breaks=1)
    await w.start()
    _give_consent(w, service)  # which nobody has told roomd
    await w.roomd.until_up()
    await asyncio.sleep(4)
    if used := w.clouds.requests(service) - heard:
        last = w.clouds.servings[service].seen[-1]
        w.tally.wrongs.append(f"{service} was asked {used} times without consent, last {last.path}")
    w.tally.wrongs.extend(
        f"{room.id}: was told as connected without consent"
        for room in rooms
        if len(w.recorder.of_kind("calendar.connected", room.id)) > before[room.id]
    )
    w.tally.wrongs.extend(
        f"{room.id}: was told twice that consent is gone"
        for room in rooms
        if len(w.recorder.of_kind("calendar.revoked", room.id)) > revoked[room.id]
    )
    w.tally.wrongs.extend(
        f"{room.id}: believes {service}, which is revoked"
        for room in rooms
        if _followed(room) and believed(w, room) == service
    )


async def _on_again(w: World, service: Service, *, point: str = "") -> None:
    if point:
        await w.roomd.kill()
        w.fault(breaks=1)
        await w.start(die_at=f"{point}:1")
        await w.roomd.until_up()
        await w.roomd.installation.ask("calendars", "connect", service)
        await struck(w, point)
        await w.start()
        await w.roomd.until_up()
    code, out, err = await w.roomd.installation.ask("calendars", "connect", service)
    assert code == 0, f"connecting {service} ended with {code}: {out}{err}"
    await _settled(w)


# ── belief ────────────────────────────────────────────────────────────────────────────────────────


async def both_tell(w: World) -> None:
    """Devices and calendars tell of the same bookings, a while apart, and devices count anew meanwhile."""
    rooms = [room for room in w.clouds.rooms if _followed(room)]
    async with asyncio.TaskGroup() as told:
        for turn in range(4):
            for room in rooms:
                in_s = 120 + turn * 3600 + w.luck.randint(0, 600)
                ways = (_on_the_device, _on_the_device, _at_a_desk, _in_vain, _given_up)
                told.create_task(w.luck.choice(ways)(w, room, in_s), name=f"{room.id} {turn}")
            await asyncio.sleep(w.luck.uniform(2.0, 4.0))
            device = w.luck.choice(rooms).device
            if device is not None and turn % 2:
                device.reboot(w.luck.uniform(1.0, 3.0))
                w.fault()
            for line in w.clouds.lines.values():
                line.delay_s = w.luck.choice((0.0, 0.5))
                if turn == 2:
                    told.create_task(_held_up(line), name="held up")
        await w.roomd.kill()
        w.fault(breaks=1)
        await w.start()
    for line in w.clouds.lines.values():
        line.delay_s = 0.0
    await asyncio.sleep(GIVES_UP_AFTER_S)
    await w.goes_on(2)


async def _on_the_device(w: World, room: Room, in_s: int) -> None:
    """Somebody asks on the panel; the device and the calendar each hear of it when they do."""
    assert room.device is not None
    title = w.clouds.title()
    starts_at = w.clouds.in_(in_s)
    if room.device.down:
        return
    answers_s = w.luck.choice((1.0, 5.0, 25.0))
    answer = Answer(after_s=answers_s, listed_early=w.luck.random() < 0.3, declines_overlaps=False)
    room.device.request_booking(title, start=starts_at, duration_min=20, answer=answer)
    w.fault()
    await asyncio.sleep(max(1.0, w.luck.choice((answers_s - 3.0, answers_s + 5.0, 20.0, 42.0))))
    w.clouds.book(room, starts_at, minutes=20, title=title)


async def _in_vain(w: World, room: Room, in_s: int) -> None:
    """Somebody asks on the panel, and is refused: no calendar ever has it."""
    assert room.device is not None
    if not room.device.down:
        answer = Answer(outcome="fail", after_s=w.luck.choice((1.0, 8.0)))
        room.device.request_booking(w.clouds.title(), start=w.clouds.in_(in_s), answer=answer)
        w.fault()


async def _given_up(w: World, room: Room, in_s: int) -> None:
    """Somebody asks on the panel; the device never hears of an answer, and the calendar has it."""
    assert room.device is not None
    if room.device.down:
        return
    title, starts_at = w.clouds.title(), w.clouds.in_(in_s)
    room.device.request_booking(title, start=starts_at, duration_min=20, answer=Answer(outcome="never"))
    w.fault()
    await asyncio.sleep(w.luck.choice((3.0, 20.0, 40.0)))
    w.clouds.book(room, starts_at, minutes=20, title=title)


async def _held_up(line: BadLine) -> None:
    """Nothing comes through for a while, and then all of it."""
    line.pause()
    await asyncio.sleep(4)
    line.resume()


async def _at_a_desk(w: World, room: Room, in_s: int) -> None:
    """Somebody books in Outlook; the device hears of it later."""
    assert room.device is not None
    starts_at = w.clouds.in_(in_s)
    title = w.clouds.book(room, starts_at, minutes=20)
    w.fault()
    await asyncio.sleep(w.luck.choice((0.0, 2.0, 10.0, 30.0)))
    while room.device.down:  # noqa: ASYNC110 -- it comes back
        await asyncio.sleep(0.2)
    room.device.book_in_outlook(title, start=starts_at, duration_min=20)


# ── booked by command ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A room that was ordered in its calendar."""

    command: str
    room: Room
    title: str


async def booked_by_command(w: World) -> None:
    """Each command books once at most, and its answer says what became of it."""
    cloud = Cloud(w.broker.port, w.recorder, site="prove")
    wishes: list[Wish] = []
    await w.roomd.kill()
    w.fault(breaks=1)
    for point, passed in AT_A_BOOKING.items():
        for times in passed:
            await w.start(die_at=f"{point}:{times}")
            orders = w.crew.start(_order(w, cloud, wishes), name="orders")
            await struck(w, point)
            orders.cancel()
            await asyncio.wait([orders])
    await w.start()
    await w.recorder.until(
        lambda: all(cloud.final(wish.command) for wish in wishes), within_s=ANSWERED_WITHIN_S
    )
    said: Counter[str] = Counter()
    for wish in wishes:
        statuses = {answer["status"] for answer in cloud.final(wish.command)}
        if len(statuses) > 1:
            w.tally.wrongs.append(f"{wish.title!r} has several final answers: {statuses}")
        status = statuses.pop()
        said[status] += 1
        times = sum(title == wish.title for *_, title in w.clouds.slots_of(wish.room))
        least, most = BOOKED_TIMES[status]
        if not least <= times <= most:
            w.tally.wrongs.append(f"{wish.title!r} is {status}, and stands {times} times in its calendar")
    w.note(f"{len(wishes)} rooms were ordered: {dict(said)}")
    await w.goes_on(1)


async def _order(w: World, cloud: Cloud, wishes: list[Wish]) -> None:
    """Every now and then, for ever; sometimes a broker brings the same three times."""
    rooms = [room for room in w.clouds.rooms if room.service is Service.MICROSOFT]
    while True:
        room = rooms[len(wishes) % len(rooms)]
        title = w.clouds.title()
        starts_at = w.clouds.in_(AFTER_ALL_S + 1200 * (len(wishes) // len(rooms)))
        wishes.append(Wish(command=f"book-{len(wishes)}", room=room, title=title))
        arguments = {"starts_at": starts_at.isoformat(), "duration_min": 15, "title": title}
        times = w.luck.choice((1, 1, 3))
        await cloud.give(room.id, "booking.book", arguments, id_=wishes[-1].command, times=times)
        await asyncio.sleep(w.luck.uniform(0.3, 1.0))


# ── a wrong clock ─────────────────────────────────────────────────────────────────────────────────


async def clock_that_jumps(w: World) -> None:
    await asyncio.sleep(2)
    w.stamp.write_text("+7200")
    w.fault()
    await asyncio.sleep(4)
    await w.roomd.kill()  # what was read in the future is believed in the past
    w.fault(breaks=1)
    w.stamp.write_text("+0")
    await w.start()
    await asyncio.sleep(4)
    for by_s, for_s in ((7200, 5), (0, 4), (-10_800, 5), (0, 3), (93_600, 5), (0, 4), (-90_000, 4)):
        w.stamp.write_text(f"{by_s:+d}")
        w.fault()
        await asyncio.sleep(for_s)
    await w.roomd.kill()
    w.fault(breaks=1)
    await w.start()  # in the past
    await asyncio.sleep(4)
    w.stamp.write_text("+0")
    w.fault()
    await w.goes_on(3)


# ── a database that is lost ───────────────────────────────────────────────────────────────────────


async def file_damaged(w: World) -> None:
    await _watched(w)
    for what, how in (("one page", one_page), ("emptied", emptied), ("garbage", garbage)):
        await asyncio.sleep(2)
        epoch = await damage(w, how, in_peace=what != "garbage")
        w.clouds.begin_anew()
        await w.start()
        if await told(w, epoch, what):
            w.given_up.add(epoch)
        await _settled(w)
        await _watched(w)
    await w.goes_on(2)
    w.tally.wrongs += w.clouds.watched_twice(Service.MICROSOFT)  # Google has no list of channels


# ── pushes ────────────────────────────────────────────────────────────────────────────────────────


async def _watched(w: World) -> None:
    """Until every room is watched."""
    try:
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while unwatched := w.clouds.unwatched():  # noqa: ASYNC110 -- another process asks for it
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not watched within {SETTLED_WITHIN_S:g} s: {unwatched}") from None


async def pushes(w: World) -> None:
    await _watched(w)
    await w.roomd.kill()
    w.fault(breaks=1)
    w.clouds.microsoft.subscriptions.clear()
    for times in (1, 4):
        await w.start(die_at=f"{AT_A_WATCH}:{times}")
        await struck(w, AT_A_WATCH)
    await w.start()
    await _watched(w)
    await _settled(w)
    w.clouds.faults(deaf=0.5, twice=0.5, late=0.5)
    w.fault()
    await asyncio.sleep(8)
    await w.roomd.kill()
    w.fault(breaks=1)
    await w.clouds.forget_subscription(say_so=False)  # which is seen at the start
    w.fault()
    await asyncio.sleep(2)  # nobody hears
    await w.start()
    await w.roomd.until_up()
    await _watched(w)
    await w.clouds.forget_subscription(say_so=True)
    w.fault()
    await asyncio.sleep(4)
    w.clouds.faults()
    await w.end_day()
    await _watched(w)
    await w.clouds.touch_all()
    await w.settled(within_s=SETTLED_WITHIN_S)
    await _flooded(w)
    await w.clouds.touch_all()
    w.begin_day()
    await w.goes_on(3)
    await w.end_day()
    await w.clouds.touch_all()
    w.tally.wrongs += [*w.clouds.watched_twice(Service.MICROSOFT), *w.clouds.watched_twice(Service.GOOGLE)]


async def _flooded(w: World) -> None:
    """Nobody books anything, and thousands of posts say that somebody did."""
    await asyncio.sleep(3)  # what was hinted before has been looked at
    heard = {service: w.clouds.requests(service) for service in Service}
    events = len(w.recorder.of_kind("booking.deleted"))
    began_s = asyncio.get_running_loop().time()
    came = await forgery.flood(w.clouds, w.luck, FORGED)
    w.fault()
    lasted_s = asyncio.get_running_loop().time() - began_s
    w.note(f"{FORGED} forged posts in {lasted_s:.0f} s were answered {dict(sorted(came.items()))}")
    for service in Service:
        asked = w.clouds.requests(service) - heard[service]
        if asked > len(w.clouds.rooms):
            w.tally.wrongs.append(f"{service} was asked {asked} times because of forged posts")
    if came.get(0, 0) > FORGED // 100:
        w.tally.wrongs.append(f"{came[0]} of {FORGED} posts were not answered")
    if len(w.recorder.of_kind("booking.deleted")) > events:
        w.tally.wrongs.append("something was told as deleted because of forged posts")


# ── all of it ─────────────────────────────────────────────────────────────────────────────────────


async def _kill(w: World) -> None:
    await w.roomd.kill()
    w.fault(breaks=1)


async def _cut_cloud(w: World) -> None:
    w.luck.choice(list(w.clouds.lines.values())).cut()
    w.fault()


async def _close_cloud(w: World) -> None:
    line = w.luck.choice(list(w.clouds.lines.values()))
    line.refuse()
    line.cut()
    w.fault()
    await asyncio.sleep(w.luck.uniform(0.5, 3.0))
    await line.listen()


async def _hang_cloud(w: World) -> None:
    line = w.luck.choice(list(w.clouds.lines.values()))
    line.pause()
    w.fault()
    await asyncio.sleep(w.luck.uniform(0.5, 4.0))
    line.resume()


async def _spoil_cloud(w: World) -> None:
    with _weather(w, w.luck.choice(WEATHERS).answer):
        w.fault()
        await asyncio.sleep(w.luck.uniform(0.5, 2.0))


async def _deny_room(w: World) -> None:
    """One room may not be read, and then it may again."""
    room = w.luck.choice(w.clouds.rooms)
    w.fault()
    if room.service is Service.GOOGLE:
        w.clouds.google.faults.denied.add(room.address)
        await asyncio.sleep(w.luck.uniform(0.5, 3.0))
        w.clouds.google.faults.denied.discard(room.address)
    else:
        mailbox = w.clouds.microsoft.rooms[room.address]
        mailbox.refusal = (403, "ErrorAccessDenied", "Access is denied.")
        await asyncio.sleep(w.luck.uniform(0.5, 3.0))
        mailbox.refusal = None


async def _slow_down(w: World) -> None:
    """Some are told to wait."""
    w.fault()
    w.clouds.google.faults.slow_down = w.luck.randint(1, 4)
    w.clouds.google.faults.retry_after_s = w.luck.choice((None, 1))
    for room in w.luck.sample(w.clouds.rooms, 3):
        if room.service is Service.MICROSOFT:
            w.clouds.microsoft.throttle(room.address, seconds=1, times=2)
    w.clouds.microsoft.faults.lose_from_batch = 1


async def _void_tokens(w: World) -> None:
    w.fault()
    w.clouds.microsoft.expire_tokens()
    w.clouds.google.forget_tokens()
    w.clouds.google.forget_syncs()


async def _lose_watch(w: World) -> None:
    w.fault()
    await w.clouds.forget_subscription(say_so=True)


async def _cut_devices(w: World) -> None:
    for device in w.luck.sample(w.site.devices, 3):
        device.cut()
        w.fault()


async def _cut_broker(w: World) -> None:
    w.line.cut()
    w.fault(breaks=1)


DEEDS: Final[tuple[tuple[Callable[[World], Awaitable[None]], float], ...]] = (
    (_kill, 2.0),
    (_cut_cloud, 2.0),
    (_close_cloud, 2.0),
    (_hang_cloud, 1.0),
    (_spoil_cloud, 2.0),
    (_deny_room, 2.0),
    (_slow_down, 2.0),
    (_void_tokens, 1.0),
    (_lose_watch, 1.0),
    (_cut_devices, 1.0),
    (_cut_broker, 1.0),
)


async def storm(w: World) -> None:
    w.clouds.faults(twice=0.3, late=0.3)
    keeper = w.crew.start(w.keep_up(), name="systemd")
    try:
        until_s = asyncio.get_running_loop().time() + STORMS_FOR_S
        while asyncio.get_running_loop().time() < until_s:
            async with asyncio.TaskGroup() as troubles:  # two at a time: one makes the other worse
                for deed in dict.fromkeys(w.luck.choices(*zip(*DEEDS, strict=True), k=2)):
                    troubles.create_task(deed(w), name=deed.__name__)
            await asyncio.sleep(w.luck.uniform(0.1, 1.5))
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])
    w.clouds.faults()
    if not w.roomd.running:
        await w.start()
    await w.goes_on(2)
    await w.end_day()
    await _watched(w)
    await w.clouds.touch_all()


CALENDARS: Final = (
    Scenario(
        name="calendars, kill -9",
        tells="bookings made, moved and deleted in Outlook and Google while roomd is killed as it reads them",
        setting=Setting(rooms=12, linked=SOME, hurry=HURRY),
        plot=killed_among_listings,
    ),
    Scenario(
        name="calendars, bad weather",
        tells=f"clouds that answer with {len(WEATHERS)} kinds of nonsense, or not at all",
        setting=Setting(rooms=10, counts=10.0, linked=SOME, hurry=HURRY),
        plot=in_all_weathers,
    ),
    Scenario(
        name="calendars, out of reach",
        tells="until what was read is stale: devices are believed, no room is empty, and back again",
        setting=Setting(rooms=10, counts=10.0, linked=SOME, hurry=f"{HURRY},stale"),
        plot=gone_until_stale,
    ),
    Scenario(
        name="calendars, consent",
        tells="taken while roomd is up and down, with kill -9 as it learns: off, until somebody consents",
        setting=Setting(rooms=10, counts=10.0, linked=PUSHED, lively=1.0, hurry=HURRY),
        plot=consent_taken,
    ),
    Scenario(
        name="calendars and devices",
        tells="both tell of the same bookings, up to 42 s apart; devices count anew: one key for each",
        setting=Setting(
            rooms=12,
            counts=10.0,
            linked=Linked(microsoft=6, google=6, follow=False),
            lively=0.0,
            hurry=HURRY,
        ),
        plot=both_tell,
    ),
    Scenario(
        name="calendars, storm",
        tells="clouds, lines, tokens, rooms, devices, broker and roomd, two troubles at a time",
        setting=Setting(rooms=12, linked=PUSHED, hurry=HURRY),
        plot=storm,
    ),
    Scenario(
        name="calendars, commands",
        tells="rooms are booked in Outlook by command, and roomd is killed at each step: booked once at most",
        setting=Setting(
            rooms=4,
            counts=10.0,
            linked=Linked(microsoft=4, bare=2, writes=True, follow=False),
            lively=0.5,
            hurry=HURRY,
        ),
        plot=booked_by_command,
    ),
    Scenario(
        name="calendars, clock",
        tells="roomd's wall clock steps by hours and days, and tokens, listings and bookings with it",
        setting=Setting(rooms=10, counts=10.0, linked=SOME, wrong_clock=True, lively=1.0, hurry=HURRY),
        plot=clock_that_jumps,
    ),
    Scenario(
        name="calendars, file damaged",
        tells="links and subscriptions are had again, and none is left over",
        setting=Setting(rooms=10, counts=10.0, linked=PUSHED, hurry=HURRY),
        plot=file_damaged,
    ),
    Scenario(
        name="calendars, pushes",
        tells=f"lost, doubled, late, and {FORGED} of them forged: nothing is invented, listings are few",
        setting=Setting(rooms=10, counts=10.0, linked=PUSHED, hurry=HURRY),
        plot=pushes,
    ),
)
