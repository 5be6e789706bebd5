"""Who tells us of changes: watches made, renewed, lost and found again, with clouds that call back."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path

import pytest
import structlog

from cloud_link.calendars import kept
from cloud_link.calendars.google_calendar import FIRST_WORD_WITHIN
from cloud_link.calendars.integration import Service
from cloud_link.calendars.kept import KeptWatch
from cloud_link.calendars.microsoft import SUBSCRIBED_FOR
from cloud_link.calendars.push import Hears
from cloud_link.calendars.watches import GoogleWatches, MicrosoftWatches, WatchPace
from cloud_link.database import Database, open_database
from tests.callers import becomes
from tests.cloud_link.calendars.watching import Clock, Ears, google, keeping, microsoft, opened, rows
from tests.cloud_link.stand import SMALL
from tests.clouds.google import Google as GoogleCloud
from tests.clouds.microsoft import Microsoft365
from tests.clouds.serving import CUT, Request, Response, Serving, text, tree

FJORD, LAKE = "fjord@contoso.example", "lake@contoso.example"
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NOW = timedelta()


class Site:
    """One service with its cloud, our door and our disk; `watches` anew after each restart."""

    service: Service
    database: Database

    def __init__(self) -> None:
        self.clock = Clock()
        self.ears = Ears()
        self.hears: dict[Service, Hears] = {}
        self.luck = 0.5

    async def later(self, by: timedelta, watches: MicrosoftWatches | GoogleWatches) -> None:
        """Time passes."""
        self.clock.forward(by)
        watches.stepped(NOW)

    async def kept_ids(self) -> set[str]:
        return {row.id for row in await rows(self.database, self.service)}

    async def pushed(self, *addresses: str) -> None:
        await becomes(lambda: self.ears.pushed, set(addresses))


async def idle(watches: MicrosoftWatches | GoogleWatches) -> None:
    """All that was due is done, and on disk."""
    events = (watches._changed, watches._told, watches._to_write)  # noqa: SLF001

    def nothing_to_do() -> bool:
        return not watches._under_way and not any(event.is_set() for event in events)  # noqa: SLF001

    await becomes(nothing_to_do, wanted=True)
    await watches._database.write(lambda _: None)  # noqa: SLF001
    await becomes(nothing_to_do, wanted=True)


class MicrosoftSite(Site):
    service = Service.MICROSOFT

    async def enter(self, stack: AsyncExitStack, directory: Path) -> None:
        self.tenant = Microsoft365(now=self.clock.now)
        self.tenant.add_room("Fjord@contoso.example")
        self.tenant.add_room(LAKE)
        self.database = await stack.enter_async_context(open_database(directory, limits=SMALL))
        self.cloud = await stack.enter_async_context(Serving(self.tenant.answer))
        self.tenant.service = self.cloud
        self.client = await stack.enter_async_context(microsoft(self.tenant, self.cloud))
        self.door = await stack.enter_async_context(opened(self.hears))
        self.tenant.receiver = self.door.proxy.client_context()

    @asynccontextmanager
    async def watches(self, *addresses: str, **pace: object) -> AsyncIterator[MicrosoftWatches]:
        """As after a start of roomd."""
        self.ears = Ears()
        watches = MicrosoftWatches(
            lambda: self.client,
            url=self.door.at,
            database=self.database,
            kept=await rows(self.database, self.service),
            hint=self.ears.hint,
            turned=self.ears.turned,
            now=self.clock.now,
            luck=lambda: self.luck,
            pace=WatchPace(**pace),  # type: ignore[arg-type]
        )
        self.hears[self.service] = watches
        async with keeping(watches):
            if addresses:
                watches.use(addresses)
            yield watches

    def there(self) -> dict[str, str]:
        """Who has a subscription at Graph, by id."""
        return {name: each.address for name, each in self.tenant.subscriptions.items()}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[MicrosoftSite]:
    site = MicrosoftSite()
    async with AsyncExitStack() as stack:
        await site.enter(stack, tmp_path)
        yield site
    assert not site.tenant.problems
    assert not site.tenant.rests.broken
    assert sum(each.reauthorized for each in site.tenant.subscriptions.values()) == 0


# ── Microsoft ──


async def test_a_room_is_subscribed_to_proven_by_the_handshake_and_told_of(site):
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        [id_] = site.there()
        assert await site.kept_ids() == {id_}
        assert site.door.site.callers.handshakes == 2
        await site.tenant.notify(FJORD, times=30)
        await becomes(lambda: site.ears.hints, [FJORD])
        assert site.tenant.delivered == [(id_, 202)]
        assert watches.trouble is None
    [subscription] = site.tenant.subscriptions.values()
    [row] = await rows(site.database, site.service)
    assert subscription.body["clientState"].encode() not in row.body  # only what it is known by


async def test_thirty_notifications_and_a_wrong_secret_among_them(site):
    async with site.watches(FJORD):
        await site.pushed(FJORD)
        [subscription] = site.tenant.subscriptions.values()
        right = subscription.body["clientState"]
        subscription.body["clientState"] = right.swapcase()
        await site.tenant.notify(FJORD)
        await site.tenant.tell_lifecycle(FJORD, "subscriptionRemoved")
        assert [status for _, status in site.tenant.delivered] == [202, 202]
        assert site.door.site.callers.unknown == 2
        assert site.ears.hints == []
        assert len(await site.kept_ids()) == 1


async def test_it_is_renewed_at_half_its_life_and_stays_the_same(site):
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        [(id_, subscription)] = site.tenant.subscriptions.items()
        await site.later(31 * HOUR, watches)  # of seventy
        assert subscription.renewals == 0
        await site.later(5 * HOUR, watches)
        await becomes(lambda: subscription.renewals, 1)
        await idle(watches)
        await site.later(31 * HOUR, watches)
        await site.later(5 * HOUR, watches)
        await becomes(lambda: subscription.renewals, 2)
        await site.tenant.notify(FJORD)
        await becomes(lambda: site.ears.hints, [FJORD])
        assert list(site.there()) == [id_]
        assert site.ears.turns == [(FJORD, True)]


async def test_renewals_are_spread_by_luck(site):
    drawn = iter((0.0, 1.0))
    async with site.watches() as watches:
        watches._luck = lambda: next(drawn, 0.5)  # noqa: SLF001
        watches.use([FJORD, LAKE])
        await site.pushed(FJORD, LAKE)
        await site.later(34 * HOUR, watches)
        each = site.tenant.subscriptions.values()
        await becomes(lambda: sorted(one.renewals for one in each), [0, 1])


async def test_one_that_graph_has_lost_is_made_anew_and_its_room_listed(site):
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        [lost] = site.there()
        site.tenant.subscriptions.clear()
        await site.later(36 * HOUR, watches)
        await becomes(lambda: site.ears.hints, [FJORD])
        await idle(watches)
        [made] = site.there()
        assert made != lost
        assert await site.kept_ids() == {made}
        assert site.ears.turns == [(FJORD, True)]
        await site.tenant.notify(FJORD)
        await becomes(lambda: site.ears.hints, [FJORD, FJORD])


async def test_one_that_cannot_be_made_anew_leaves_the_room_polled(site):
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        site.tenant.subscriptions.clear()
        site.door.shut = True
        await site.later(36 * HOUR, watches)
        await site.pushed()
        await idle(watches)
        assert await site.kept_ids() == set()
        assert "polled" in (watches.trouble or "")
        site.door.shut = False
        await site.later(HOUR, watches)
        await site.pushed(FJORD)
        assert watches.trouble is None


async def test_what_graph_says_of_a_subscription_is_done(site):
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        [(first, subscription)] = site.tenant.subscriptions.items()

        await site.tenant.tell_lifecycle(FJORD, "missed")
        await becomes(lambda: site.ears.hints, [FJORD])

        await site.tenant.tell_lifecycle(FJORD, "reauthorizationRequired")  # it was renewed just now
        await site.later(9 * MINUTE, watches)
        await site.tenant.tell_lifecycle(FJORD, "reauthorizationRequired")
        await becomes(lambda: site.door.site.callers.told, 3)
        assert subscription.renewals == 0
        await site.later(2 * MINUTE, watches)
        await becomes(lambda: subscription.renewals, 1)
        await idle(watches)
        await site.later(10 * MINUTE, watches)
        assert subscription.renewals == 1

        await site.tenant.tell_lifecycle(FJORD, "subscriptionRemoved")
        await becomes(lambda: site.ears.hints, [FJORD] * 3)  # when it was told, and when it is told again
        await idle(watches)
        [second] = site.there()
        assert second != first
        assert await site.kept_ids() == {second}

        await site.tenant.tell_lifecycle(FJORD, "aWordThatCameLater")
        await becomes(lambda: site.ears.hints, [FJORD] * 4)
    assert {status for _, status in site.tenant.delivered} == {202}


async def test_a_restart_neither_doubles_nor_loses(site):
    async with site.watches(FJORD, LAKE):
        await site.pushed(FJORD, LAKE)
        before = set(site.there())
    asked = len(site.cloud.seen)
    async with site.watches(FJORD, LAKE):
        await site.pushed(FJORD, LAKE)
        await site.tenant.notify(LAKE)
        await becomes(lambda: site.ears.hints, [LAKE])
        assert set(site.there()) == before == await site.kept_ids()
    assert [request.method for request in site.cloud.seen[asked:]] == ["GET"]


async def test_at_the_start_what_is_lost_is_made_and_what_is_strange_taken_down(site):
    async with site.watches(FJORD, LAKE):
        await site.pushed(FJORD, LAKE)
    by_room = {address: id_ for id_, address in site.there().items()}
    del site.tenant.subscriptions[by_room[LAKE]]  # lost meanwhile
    door = f"{site.door.at}/microsoft"
    until = site.clock.now() + DAY
    site.tenant.add_room("attic@contoso.example")
    site.tenant.add_room("bergen@contoso.example")
    for room, url in (
        ("attic@contoso.example", door),  # made, and not remembered
        ("bergen@contoso.example", door.replace("/hooks/", "/hooks/bergen/")),  # another agent's
    ):
        body = {
            "changeType": "updated",
            "notificationUrl": url,
            "lifecycleNotificationUrl": url,
            "resource": f"/users/{room}/events",
            "expirationDateTime": until.isoformat(),
            "clientState": "forgotten",
        }
        assert (await site.tenant._subscribe(body, "", site.tenant.roles)).status == 201  # noqa: SLF001
    async with site.watches(FJORD, LAKE):
        await site.pushed(FJORD, LAKE)
        await becomes(lambda: sorted(site.there().values()), ["bergen@contoso.example", FJORD, LAKE])
        assert by_room[FJORD] in site.there()


async def test_one_of_ours_in_the_way_is_replaced_and_graph_says_409_to_nobody(site):
    async with site.watches(FJORD):
        await site.pushed(FJORD)
    await site.database.write(partial(kept.forget_watches, service=site.service))  # the file was damaged
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        await idle(watches)
        assert len(site.there()) == 1
        assert await site.kept_ids() == set(site.there())


async def test_what_was_kept_and_cannot_be_read_is_forgotten(site):
    broken = KeptWatch(id="broken", address=FJORD, body=b"{")
    await site.database.write(partial(kept.keep_watch, service=site.service, watch=broken))
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        await idle(watches)
        [id_] = site.there()
        assert await site.kept_ids() == {id_}


async def test_one_rooms_refusal_is_that_rooms_alone(site):
    site.tenant.rooms[LAKE].refusal = (403, "ErrorAccessDenied", "Access to OData is disabled.")
    with structlog.testing.capture_logs() as logs:
        async with site.watches(LAKE, "nobody@contoso.example", FJORD) as watches:
            await site.pushed(FJORD)
            site.tenant.rooms[LAKE].refusal = None
            await site.later(HOUR, watches)  # policies take effect with a delay
            await site.pushed(FJORD, LAKE)
            assert watches.trouble is None
    warned = [entry["room"] for entry in logs if entry["log_level"] == "warning"]
    assert sorted(warned) == [LAKE, "nobody@contoso.example"]


async def test_a_door_that_graph_does_not_reach_is_tried_seldom_and_the_rooms_polled(site):
    site.door.shut = True
    for number in range(20):
        site.tenant.add_room(f"room{number}@contoso.example")
    async with site.watches(*site.tenant.rooms) as watches:
        await becomes(lambda: watches.trouble is not None, wanted=True)
        assert "public certificate; until then calendars are polled" in (watches.trouble or "")
        await idle(watches)
        tried = site.tenant.calls["subscriptions"]
        assert tried <= 1 + 4
        await site.later(timedelta(seconds=16), watches)
        await becomes(lambda: site.tenant.calls["subscriptions"], tried + 4)
        await idle(watches)
        assert not site.ears.pushed
        site.door.shut = False
        await site.later(HOUR, watches)
        await becomes(lambda: site.ears.pushed, set(site.tenant.rooms), within_s=20.0)
        assert watches.trouble is None


async def test_who_says_slow_down_is_left_alone_for_so_long(site):
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        slow = [tree({"error": {"code": "ApplicationThrottled"}}, 429, Retry_After="600")]
        site.cloud.interrupt = lambda request: slow.pop() if slow and request.method == "POST" else None
        asked = site.tenant.calls["subscriptions"]
        watches.use([FJORD, LAKE])
        await becomes(lambda: len(slow), 0)
        await idle(watches)
        await site.later(9 * MINUTE, watches)
        assert not watches._under_way  # noqa: SLF001
        assert site.tenant.calls["subscriptions"] == asked
        assert site.ears.turns == [(FJORD, True)]
        assert watches.trouble is None  # nothing that a person should mend


async def test_a_cloud_that_is_away_costs_no_watch(site):
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        [(id_, subscription)] = site.tenant.subscriptions.items()
        site.cloud.interrupt = lambda request: Response(status=HTTPStatus.BAD_GATEWAY)
        seen = len(site.cloud.seen)
        await site.later(36 * HOUR, watches)
        await becomes(lambda: len(site.cloud.seen) - seen, 3)
        await idle(watches)
        assert site.ears.pushed == {FJORD}
        site.cloud.interrupt = lambda request: None
        await site.later(MINUTE, watches)
        await becomes(lambda: subscription.renewals, 1)
        assert site.there() == {id_: FJORD}


async def test_one_that_ran_out_while_the_cloud_was_away_is_made_anew(site):
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        site.cloud.interrupt = lambda request: Response(status=HTTPStatus.BAD_GATEWAY)
        await site.later(71 * HOUR, watches)
        await site.pushed()
        site.cloud.interrupt = lambda request: None
        await site.later(HOUR, watches)
        await site.pushed(FJORD)
        await idle(watches)
        assert await site.kept_ids() == set(site.there())


async def test_one_that_runs_out_while_graph_wants_to_be_left_alone_is_not_relied_on(site):
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        site.cloud.interrupt = lambda request: text("", 429, Retry_After="3600")
        await site.later(SUBSCRIBED_FOR - MINUTE, watches)
        await becomes(lambda: watches._rest_until is not None, wanted=True)  # noqa: SLF001
        await idle(watches)
        asked = len(site.cloud.seen)
        assert site.ears.pushed == {FJORD}
        await site.later(2 * MINUTE, watches)
        await site.pushed()
        assert len(site.cloud.seen) == asked


async def test_rooms_come_and_go(site):
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        watches.use([LAKE])
        await idle(watches)
        assert list(site.there().values()) == [LAKE]
        assert await site.kept_ids() == set(site.there())


async def test_while_it_is_not_used_nothing_is_asked_and_nothing_lost(site):
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        before = site.there()
        asked = len(site.cloud.seen)
        watches.use(None)
        await site.later(36 * HOUR, watches)
        await site.pushed()
        assert len(site.cloud.seen) == asked
        watches.use([FJORD])
        await site.pushed(FJORD)
        await becomes(lambda: [each.renewals for each in site.tenant.subscriptions.values()], [1])
        assert site.there() == before


async def test_where_consent_is_gone_all_is_forgotten_without_asking(site):
    async with site.watches(FJORD, LAKE) as watches:
        await site.pushed(FJORD, LAKE)
        watches.use(None)
        asked = len(site.cloud.seen)
        await watches.wipe()
        assert await site.kept_ids() == set()
        await site.tenant.notify(FJORD)
        assert site.tenant.delivered[-1][1] == 202
        assert site.door.site.callers.unknown == 1
        assert (site.ears.hints, site.ears.pushed, len(site.cloud.seen)) == ([], set(), asked)
        watches.use([FJORD])  # consented again: those that still stand are replaced
        await site.pushed(FJORD)
        await idle(watches)
        assert list(site.there().values()) == [FJORD]
        assert await site.kept_ids() == set(site.there())


async def test_many_are_made_a_few_at_a_time(site):
    for number in range(40):
        site.tenant.add_room(f"room{number}@contoso.example")
    most = 0

    def count(request: Request) -> None:
        nonlocal most
        most = max(most, len(watches._under_way))  # noqa: SLF001

    site.cloud.interrupt = count
    async with site.watches() as watches:
        watches.use(list(site.tenant.rooms))
        await becomes(lambda: len(site.ears.pushed), 42, within_s=20.0)
    assert most == WatchPace().at_once


# ── Google ──


class GoogleSite(Site):
    service = Service.GOOGLE

    async def enter(self, stack: AsyncExitStack, directory: Path) -> None:
        self.workspace = GoogleCloud(now=self.clock.now)
        self.fjord = self.workspace.add_room("Fjord")
        self.lake = self.workspace.add_room("Lake")
        self.database = await stack.enter_async_context(open_database(directory, limits=SMALL))
        self.cloud = await stack.enter_async_context(Serving(self.workspace.answer))
        self.client = await stack.enter_async_context(google(self.workspace, self.cloud, self.clock.now))
        self.door = await stack.enter_async_context(opened(self.hears))
        self.workspace.hook_context = self.door.proxy.client_context()
        await stack.enter_async_context(self.workspace.running())

    @asynccontextmanager
    async def watches(self, *addresses: str) -> AsyncIterator[GoogleWatches]:
        """As after a start of roomd."""
        self.ears = Ears()
        watches = GoogleWatches(
            lambda: self.client,
            url=self.door.at,
            database=self.database,
            kept=await rows(self.database, self.service),
            hint=self.ears.hint,
            turned=self.ears.turned,
            now=self.clock.now,
            luck=lambda: self.luck,
        )
        self.hears[self.service] = watches
        async with keeping(watches):
            watches.use(addresses)
            yield watches

    def there(self) -> dict[str, str]:
        return {name: each.calendar for name, each in self.workspace.channels.items()}


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[GoogleSite]:
    site = GoogleSite()
    async with AsyncExitStack() as stack:
        await site.enter(stack, tmp_path)
        yield site


async def test_a_channel_is_relied_on_when_its_first_word_has_come(workspace):
    site = workspace
    room = site.fjord.address
    async with site.watches(room) as watches:
        await site.pushed(room)
        [id_] = site.there()
        assert await site.kept_ids() == {id_}
        assert site.ears.hints == []  # its first word says nothing else
        site.fjord.put({"id": "new", "start": {"date": "2026-01-01"}, "end": {"date": "2026-01-02"}})
        await becomes(lambda: site.ears.hints, [room])
        assert {status for _, _, status in site.workspace.notified} == {200}
        assert watches.trouble is None


async def test_a_channel_that_says_nothing_is_not_relied_on(workspace):
    site = workspace
    room = site.fjord.address
    site.workspace.faults.deaf = True
    async with site.watches(room) as watches:
        await becomes(lambda: len(site.there()), 1)
        await idle(watches)
        await site.later(FIRST_WORD_WITHIN, watches)
        await becomes(lambda: watches.trouble is not None, wanted=True)
        assert "let Google reach https://" in (watches.trouble or "")
        assert not site.ears.pushed
        site.workspace.faults.deaf = False
        site.fjord.put({"id": "new", "start": {"date": "2026-01-01"}, "end": {"date": "2026-01-02"}})
        await site.pushed(room)
        assert watches.trouble is None
        assert len(site.workspace.channel_ids) == 1


@asynccontextmanager
async def silent(site: GoogleSite) -> AsyncIterator[GoogleWatches]:
    """Of two rooms nothing came in time."""
    site.workspace.faults.deaf = True
    async with site.watches(site.fjord.address, site.lake.address) as watches:
        await becomes(lambda: len(site.there()), 2)
        await idle(watches)
        await site.later(FIRST_WORD_WITHIN, watches)
        await becomes(lambda: sum(room.silent for room in watches._rooms.values()), 2)  # noqa: SLF001
        site.workspace.faults.deaf = False
        yield watches


async def test_one_rooms_first_word_is_no_other_rooms(workspace):
    new = {"id": "new", "start": {"date": "2026-01-01"}, "end": {"date": "2026-01-02"}}
    async with silent(workspace) as watches:
        workspace.fjord.put(dict(new))
        await workspace.pushed(workspace.fjord.address)
        assert "let Google reach https://" in (watches.trouble or "")
        workspace.lake.put(dict(new))
        await workspace.pushed(workspace.fjord.address, workspace.lake.address)
        assert watches.trouble is None


async def test_where_nothing_is_waited_for_silence_is_no_trouble(workspace):
    async with silent(workspace) as watches:
        watches.use(None)
        assert watches.trouble is None
    async with silent(workspace) as watches:
        await watches.wipe()
        assert watches.trouble is None


async def test_a_channel_is_replaced_before_its_end_the_new_one_first(workspace):
    site = workspace
    room = site.fjord.address
    async with site.watches(room) as watches:
        await site.pushed(room)
        [old] = site.there()
        await site.later(timedelta(days=5), watches)
        assert list(site.there()) == [old]
        await site.later(timedelta(hours=12), watches)
        await becomes(lambda: old in site.there(), wanted=False)
        [new] = site.there()
        await idle(watches)
        assert await site.kept_ids() == {new}
        done = [heard for heard in site.workspace.heard if heard.response.status < 300]  # the token was old
        paths = [heard.template.rpartition("/")[2] for heard in done]
        assert [path for path in paths if path in ("watch", "stop")] == ["watch", "watch", "stop"]
        assert site.ears.turns == [(room, True)]


async def test_channels_outlive_a_restart_and_those_of_other_rooms_are_stopped(workspace):
    site = workspace
    async with site.watches(site.fjord.address, site.lake.address) as watches:
        await site.pushed(site.fjord.address, site.lake.address)
        await idle(watches)
    asked = len(site.workspace.heard)
    async with site.watches(site.fjord.address) as watches:
        await site.pushed(site.fjord.address)
        await becomes(lambda: list(site.there().values()), [site.fjord.address])
        await idle(watches)
        assert await site.kept_ids() == set(site.there())
    later = [heard.template.rpartition("/")[2] for heard in site.workspace.heard[asked:]]
    assert "watch" not in later


async def test_a_channel_whose_answer_is_lost_is_completed_by_its_first_word_and_stopped(workspace):
    site = workspace
    room = site.fjord.address
    async with site.watches() as watches:
        await site.client.sign_in()
        site.workspace.faults.cut = 1
        watches.use([room])
        await becomes(lambda: len(site.workspace.channel_ids), 1)
        [lost] = site.workspace.channel_ids
        await becomes(lambda: site.door.site.callers.told, 1)
        await idle(watches)
        await site.later(MINUTE, watches)
        await site.pushed(room)
        await becomes(lambda: lost in site.there(), wanted=False)
        await idle(watches)
        assert await site.kept_ids() == set(site.there())
        assert len(site.there()) == 1


async def test_channels_that_never_were_do_not_pile_up(workspace):
    site = workspace
    async with site.watches() as watches:
        await site.client.sign_in()
        refused = 0

        def fail(request: Request) -> Response | None:
            nonlocal refused
            if not request.path.endswith("/watch"):
                return None
            refused += 1
            return Response(status=HTTPStatus.BAD_GATEWAY)

        site.cloud.interrupt = fail
        watches.use([site.fjord.address])
        for count in range(1, 8):
            await becomes(partial(lambda count: refused >= count, count), wanted=True)
            await idle(watches)
            assert len(await site.kept_ids()) <= 3
            await site.later(HOUR, watches)
        site.cloud.interrupt = lambda _: None
        await site.later(HOUR, watches)
        await site.pushed(site.fjord.address)
        await site.later(DAY, watches)
        await idle(watches)
        assert await site.kept_ids() == set(site.there())


async def test_an_address_that_google_does_not_call_is_no_matter_of_the_token(workspace):
    site = workspace
    said = {
        "error": {
            "code": 401,
            "message": "Unauthorized WebHook callback channel",
            "errors": [{"domain": "global", "reason": "push.webhookUrlUnauthorized", "message": "x"}],
        }
    }
    site.cloud.interrupt = lambda request: tree(said, 401) if request.path.endswith("/watch") else None
    with structlog.testing.capture_logs() as logs:
        async with site.watches(site.fjord.address, site.lake.address) as watches:
            await becomes(lambda: watches.trouble is not None, wanted=True)
            await idle(watches)
            assert [each.path for each in site.cloud.seen].count("/token") == 1
            assert "certificate; until then calendars are polled" in (watches.trouble or "")
            assert not site.ears.pushed
            assert await site.kept_ids() == set()
            site.cloud.interrupt = lambda _: None
            await site.later(HOUR, watches)
            await site.pushed(site.fjord.address, site.lake.address)
            assert watches.trouble is None
    warned = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert warned == ["pushes.failed"]


async def test_what_strangers_say_of_channels_changes_nothing(workspace):
    site = workspace
    async with site.watches(site.fjord.address):
        await site.pushed(site.fjord.address)
        [channel] = site.workspace.channels.values()
        object.__setattr__(channel, "token", "guessed")
        site.fjord.put({"id": "new", "start": {"date": "2026-01-01"}, "end": {"date": "2026-01-02"}})
        await becomes(lambda: site.door.site.callers.unknown, 1)
        assert site.ears.hints == []
        assert site.workspace.notified[-1][2] == 200


async def test_a_channel_whose_first_word_comes_before_the_answer_is_lost_is_relied_on(workspace):
    site = workspace
    room = site.fjord.address
    async with site.watches() as watches:
        await site.client.sign_in()
        answer = site.cloud._answer  # noqa: SLF001

        async def lose(request: Request) -> Response:
            response: Response = await answer(request)
            if request.path.endswith("/watch"):
                await becomes(lambda: site.door.site.callers.told, 1)
                return CUT
            return response

        site.cloud._answer = lose  # noqa: SLF001
        watches.use([room])
        await site.pushed(room)
        await idle(watches)
        assert await site.kept_ids() == set(site.there())
        assert len(site.workspace.channel_ids) == 1


async def test_a_watch_that_has_ended_before_it_began_is_not_made_without_end(site):
    answer = site.cloud._answer  # noqa: SLF001

    async def hurry(request: Request) -> Response:
        response: Response = await answer(request)
        if request.method == "POST" and request.path.endswith("/subscriptions"):
            said = response.json() | {"expirationDateTime": "2020-01-01T00:00:00Z"}
            return tree(said, 201)
        return response

    site.cloud._answer = hurry  # noqa: SLF001
    async with site.watches(FJORD) as watches:
        await site.pushed(FJORD)
        await idle(watches)
        asked = site.tenant.calls["subscriptions"]
        watches.stepped(NOW)
        await idle(watches)
        assert site.tenant.calls["subscriptions"] == asked
