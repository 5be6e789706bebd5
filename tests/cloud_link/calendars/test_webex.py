"""An integration's access to Webex, and what it reads there, over real sockets."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus

import pytest

from agent.core.model import CalendarKind
from cloud_link.calendars.errors import (
    CalendarError,
    CredentialWrong,
    Gone,
    Misconfigured,
    Refused,
    Revoked,
    Throttled,
    Transient,
    Unreadable,
)
from cloud_link.calendars.webex import OperationalState, next_link
from cloud_link.calendars.webex_access import RenewalPace, WebexTokens
from cloud_link.calendars.webex_rooms import (
    CloudDevice,
    HeardBookings,
    HybridPhase,
    Issue,
    Workspace,
    judge_hybrid,
)
from cloud_link.calendars.wire import Wire, WirePace
from tests.cloud_link.calendars.webex_site import QUICK, Kept, Site, activated, tokens_of
from tests.clouds.serving import tree
from tests.clouds.webex import Json, WebexCloud


@pytest.fixture
async def cloud() -> AsyncIterator[WebexCloud]:
    async with WebexCloud(poll_within_s=0.1) as cloud:
        yield cloud


@pytest.fixture
async def site(cloud: WebexCloud) -> AsyncIterator[Site]:
    async with activated(cloud) as site:
        yield site


# ── access ────────────────────────────────────────────────────────────────────────────────────────


async def test_many_who_need_access_cause_one_renewal(cloud, site):
    given = await asyncio.gather(*(site.tokens.token() for _ in range(20)))
    assert len(set(given)) == 1
    assert len(cloud.asked("POST", "/v1/access_token")) == 1
    assert site.kept.tokens == [cloud.refresh_token]


async def test_many_who_need_access_that_is_refused_ask_once(cloud, site):
    cloud.faults.gone = True
    refused = await asyncio.gather(*(site.tokens.token() for _ in range(20)), return_exceptions=True)
    assert {type(one) for one in refused} == {Revoked}
    assert len(cloud.asked("POST", "/v1/access_token")) == 1


async def test_a_new_refresh_token_is_kept_before_its_access_is_used(cloud, site):
    asked_when_kept: list[int] = []

    async def note() -> None:
        asked_when_kept.append(len(cloud.seen))

    site.kept.before = note
    await site.webex.workspaces()
    assert asked_when_kept == [1]  # the renewal alone
    assert [one.path for one in cloud.seen] == ["/v1/access_token", "/v1/workspaces"]


@pytest.mark.slow
@pytest.mark.parametrize(("when", "forgives"), [("kept", False), ("answered", True)])
async def test_a_kill_between_renewal_and_use_loses_no_access(when: str, forgives: bool, tmp_path):
    async with WebexCloud(plain=True) as cloud:
        cloud.faults.forgives = forgives  # whether the old token lives until the new one is used
        file = tmp_path / "refresh-token"
        file.write_text(first := cloud.refresh_token)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.cloud_link.calendars.webex_mortal", when, str(file)),
            *(cloud.url, cloud.client_id, cloud.client_secret),
        )
        assert await process.wait() == -signal.SIGKILL
        assert (file.read_text() == first) is (when == "answered")
        async with Wire(cloud.url) as wire:
            kept = Kept()
            await tokens_of(cloud, wire, kept, refresh_token=file.read_text()).token()
            assert kept.tokens[0] not in (first, file.read_text())
            if not forgives:
                with pytest.raises(Revoked, match="expired, revoked") as refused:
                    await tokens_of(cloud, wire, kept, refresh_token=first).token()
                assert "activation code" in refused.value.mend


async def test_a_renewal_is_kept_also_if_nobody_waits_for_it_any_more(cloud, site):
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await go_on.wait()

    site.kept.before = wait
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(site.tokens.token())
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
    assert task.cancelled()
    await site.tokens.token()
    assert site.kept.tokens == [cloud.refresh_token]
    assert len(cloud.asked("POST", "/v1/access_token")) == 1


async def test_what_could_not_be_kept_is_kept_later_and_not_renewed_again_before(cloud, site):
    async def full() -> None:
        raise OSError(28, "No space left on device")

    site.kept.before = full
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            await site.webex.workspaces()
    assert {one.path for one in cloud.seen} == {"/v1/access_token"}
    site.kept.before = None
    await site.webex.workspaces()
    assert len(cloud.asked("POST", "/v1/access_token")) == 1
    assert site.kept.tokens == [cloud.refresh_token]


async def test_a_wrong_secret_is_the_operators_and_a_dead_refresh_token_the_administrators(cloud, site):
    wire = site.lines.to(cloud.url)
    wrong = tokens_of(cloud, wire, site.kept, secret="wrong")
    with pytest.raises(CredentialWrong, match=r"invalid_client.*tracking id ROUTER_"):
        await wrong.token()
    with pytest.raises(Revoked, match=r"\(400; tracking id ROUTER_"):
        await tokens_of(cloud, wire, site.kept, refresh_token="old").token()
    assert site.kept.tokens == []


async def test_a_session_ends_only_after_the_renewal_that_was_begun_in_it(cloud, site):
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await go_on.wait()

    site.kept.before = wait
    async with asyncio.TaskGroup() as tasks:
        async with tokens_of(cloud, site.lines.to(cloud.url), site.kept) as tokens:
            task = tasks.create_task(tokens.token())
            await begun.wait()
            task.cancel()
            tasks.create_task(_set_later(go_on))
        assert site.kept.tokens == [cloud.refresh_token]


async def _set_later(event: asyncio.Event) -> None:
    event.set()


def always_due(cloud: WebexCloud, site: Site, told: list[CalendarError | None]) -> WebexTokens:
    """Access that is good for long, and due to be renewed at once."""
    pace = RenewalPace(every_s=0.0, without_s=0.0)
    return tokens_of(cloud, site.lines.to(cloud.url), site.kept, pace=pace, told=told.append)


async def test_access_is_renewed_beside_those_who_use_it(cloud, site):
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await go_on.wait()

    async with always_due(cloud, site, []) as tokens:
        first = await tokens.token()
        site.kept.before = wait
        assert await tokens.token() == first
        await begun.wait()
        assert await tokens.token() == first
        go_on.set()
        await site.eventually(lambda: len(site.kept.tokens) == 2)
        assert await tokens.token() != first


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ((HTTPStatus.SERVICE_UNAVAILABLE, {}), Transient),
        ((HTTPStatus.BAD_REQUEST, {"message": "invalid_grant"}), Revoked),
    ],
)
async def test_a_renewal_that_failed_is_told_and_not_tried_again_at_each_request(cloud, site, refusal, kind):
    told: list[CalendarError | None] = []
    await site.webex.workspaces()
    async with always_due(cloud, site, told) as tokens:
        first = await tokens.token()
        cloud.faults.token_refusal = refusal
        assert await tokens.token() == first
        await site.eventually(lambda: len(told) == 2)
        asked = len(cloud.seen)
        for _ in range(50):
            assert await tokens.token() == first
            await asyncio.sleep(0)
        await site.webex.workspaces()
        assert [one.path for one in cloud.seen[asked:]] == ["/v1/workspaces"]
        assert [type(each) for each in told] == [type(None), kind]


async def test_who_has_no_access_at_all_does_not_ask_at_each_request_either(cloud, site):
    pace = RenewalPace(without_s=60.0)
    cloud.faults.failures += [("/v1/access_token", HTTPStatus.SERVICE_UNAVAILABLE)] * 99
    async with tokens_of(cloud, site.lines.to(cloud.url), site.kept, pace=pace) as tokens:
        for _ in range(20):
            with pytest.raises(Transient):
                await tokens.token()
    assert len(cloud.seen) == QUICK.attempts


async def test_access_that_is_not_taken_is_renewed_once(cloud, site):
    await site.webex.workspaces()
    cloud.faults.expired.add(await site.tokens.token())
    await site.webex.workspaces()
    assert len(cloud.asked("POST", "/v1/access_token")) == 2
    cloud.interrupt = lambda request: tree({}, 401) if request.path == "/v1/workspaces" else None
    with pytest.raises(CredentialWrong):
        await site.webex.workspaces()
    assert len(cloud.asked("POST", "/v1/access_token")) == 3


async def test_a_token_that_webex_replaces_is_kept_and_used(cloud, site):
    await site.tokens.token()
    cloud.refresh_token = "another"
    await site.tokens.replace("another")
    assert site.kept.tokens[-1] == "another"
    await site.webex.workspaces()
    assert cloud.asked("POST", "/v1/access_token")[-1].form["refresh_token"] == "another"


# ── what there is ─────────────────────────────────────────────────────────────────────────────────


async def test_all_workspaces_and_devices_are_found_page_by_page():
    async with WebexCloud(page=100) as cloud, activated(cloud) as site:
        rooms = [cloud.add_workspace(f"Room {number}") for number in range(250)]
        for room in rooms:
            cloud.add_device(room)
        assert [one.id for one in await site.webex.workspaces()] == rooms
        assert [one.workspace_id for one in await site.webex.devices()] == rooms
        assert len(await site.webex.devices(workspace_id=rooms[7])) == 1
        assert len(cloud.asked("GET", "/v1/workspaces")) == 3


async def test_a_thousand_rooms_with_their_devices_cost_a_handful_of_requests():
    async with WebexCloud(page=1000) as cloud, activated(cloud) as site:
        for number in range(1000):
            cloud.add_device(cloud.add_workspace(f"Room {number}"))
        assert len(await site.webex.workspaces()) == len(await site.webex.devices()) == 1000
        assert len(cloud.seen) == 5  # access, and two pages of each


async def test_a_workspace_says_whose_calendar_it_has(cloud, site):
    cloud.add_workspace("Fjord", calendar={"type": "microsoft", "emailAddress": "fjord@contoso.com"})
    cloud.add_workspace("Skagen", calendar={"type": "google", "emailAddress": "skagen@contoso.com"})
    cloud.add_workspace("Canteen", capacity="50")
    cloud.add_workspace("New", calendar={"type": "something new"})
    cloud.workspaces["broken"] = {"displayName": 7}
    found = {one.name: one for one in await site.webex.workspaces()}
    assert (found["Fjord"].calendar, found["Fjord"].address) == (CalendarKind.MICROSOFT, "fjord@contoso.com")
    assert found["Skagen"].calendar is CalendarKind.GOOGLE
    assert (found["Canteen"].calendar, found["Canteen"].capacity) == (None, 50)
    assert found["New"].calendar is None
    assert len(found) == 4  # the broken one hides no other


async def test_a_next_page_on_another_host_is_not_fetched():
    async with WebexCloud() as evil, WebexCloud(page=1) as cloud, activated(cloud) as site:
        cloud.add_workspace("One")
        cloud.add_workspace("Two")
        cloud.faults.next_links_to = evil.url
        with pytest.raises(Unreadable, match="another host"):
            await site.webex.workspaces()
        assert evil.seen == []


@pytest.mark.parametrize(
    ("header", "link"),
    [
        ('<https://webexapis.com/v1/x?start=100>; rel="next"', "https://webexapis.com/v1/x?start=100"),
        ('<https://a/1>; rel="prev", <https://a/3>; title="x"; rel=next', "https://a/3"),
        ('<https://a/1>; rel="first last"', None),
        ("<" * 5000, None),
        ("", None),
    ],
)
def test_the_next_page_is_where_the_link_header_says(header: str, link: str | None):
    assert next_link(header) == link


@pytest.mark.parametrize("status", [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.LOCKED])
async def test_who_is_told_to_slow_down_waits_to_the_second(status: HTTPStatus, cloud, site):
    cloud.faults.slow_down.append(("/v1/workspaces", status, 1))
    await site.webex.workspaces()
    assert len(cloud.asked("GET", "/v1/workspaces")) == 2
    assert cloud.rests.broken == []


async def test_a_rest_that_is_too_long_to_sit_out_is_told(cloud):
    async with activated(cloud, pace=WirePace(patience_s=5.0)) as site:
        cloud.faults.slow_down.append(("/v1/workspaces", HTTPStatus.TOO_MANY_REQUESTS, 600))
        with pytest.raises(Throttled) as told:
            await site.webex.workspaces()
        assert told.value.retry_after_s == 600
        assert len(cloud.asked("GET", "/v1/workspaces")) == 1


async def test_statuses_are_asked_ten_at_a_time_and_make_one_tree(cloud, site):
    device = cloud.add_device(cloud.add_workspace("Fjord"))
    cloud.statuses[device] = {"Many": {f"N{number}": {"Value": number} for number in range(23)}}
    names = [f"Many.N{number}.Value" for number in range(23)]
    assert await site.webex.status(device, names) == cloud.statuses[device]
    assert len(cloud.asked("GET", "/v1/xapi/status")) == 3
    with pytest.raises(Refused, match="deviceId"):
        await site.webex.status("nowhere", ["RoomAnalytics.*"])


async def test_a_command_is_done_once_and_its_refusal_says_by_which_number(cloud, site):
    device = cloud.add_device(cloud.add_workspace("Fjord"))
    done: list[tuple[object, ...]] = []

    def book(*asked: object) -> Json:
        done.append(asked)
        return {"status": "OK"}

    cloud.commands["Bookings.Book"] = book
    assert await site.webex.command(device, "Bookings.Book", {"Title": "Ad hoc"}) == {"status": "OK"}
    assert done == [(device, {"Title": "Ad hoc"})]
    with pytest.raises(Refused, match=r"not in the manifest \(400; tracking id ROUTER_"):
        await site.webex.command(device, "Coffee.Make")
    cloud.faults.failures.append(("/v1/xapi/command", HTTPStatus.BAD_GATEWAY))
    with pytest.raises(Transient):
        await site.webex.command(device, "Bookings.Book", {})
    assert len(done) == 1  # who knows whether it was done: not asked again


async def test_refusals_are_sorted_by_what_to_do(cloud, site):
    sorts: dict[int, type[CalendarError]] = {400: Refused, 403: Refused, 404: Gone, 410: Gone}
    for status, sort in sorts.items():
        cloud.interrupt = lambda request, status=status: (
            tree({"message": "No.\nNo", "trackingId": "ROUTER_1"}, status)
            if "workspaces" in request.path
            else None
        )
        with pytest.raises(sort, match=rf"No. No \({status}; tracking id ROUTER_1\)"):
            await site.webex.workspaces()


# ── the integration itself ────────────────────────────────────────────────────────────────────────


async def test_switching_on_gives_the_queue_and_health_is_told(cloud, site):
    integration = await site.webex.switch_on()
    assert integration.poll_url.startswith(cloud.url)
    assert integration.poll_url not in repr(integration)
    assert cloud.app == {"provisioningState": "completed", "queue": {"state": "enabled"}}
    await site.webex.report(OperationalState.IMPAIRED)
    assert cloud.app["operationalState"] == "impaired"


async def test_an_integration_without_a_queue_or_that_is_gone_says_so(cloud, site):
    cloud.faults.queue = False
    with pytest.raises(Misconfigured, match="no queue"):
        await site.webex.switch_on()
    cloud.interrupt = lambda request: tree({}, 404) if request.method == "PATCH" else None
    with pytest.raises(Revoked, match="no longer active"):
        await site.webex.switch_on()


# ── hybrid calendars ──────────────────────────────────────────────────────────────────────────────

FJORD = Workspace(
    id="w",
    name="Fjord",
    location_id=None,
    capacity=8,
    calendar=CalendarKind.MICROSOFT,
    address="fjord@contoso.com",
    issues=(),
)
BAR = CloudDevice(
    id="d",
    name="Fjord",
    workspace_id="w",
    serial="FOC1",
    product="Cisco Room Bar",
    software="RoomOS",
    connected=True,
    connection="connected",
    ip=None,
    last_seen=datetime(2026, 3, 2, 9, tzinfo=UTC),
)
AWAY = replace(BAR, connected=False, connection="disconnected")
BARE = replace(FJORD, calendar=None, address=None)
CALENDAR_BROKEN = replace(FJORD, issues=(Issue(id="1", level="error", title="Calendar broken", mend="Mend"),))
DEAF = replace(FJORD, issues=(Issue(id="1", level="error", title="No microphone", mend="Plug it in"),))


def lists(listed: int, hybrid: int, *troubles: str) -> HeardBookings:
    return HeardBookings(listed=listed, hybrid=hybrid, troubles=troubles)


@pytest.mark.parametrize(
    ("workspace", "devices", "heard", "phase", "words"),
    [
        (BARE, [BAR], None, HybridPhase.NONE, "no calendar in Control Hub"),
        (FJORD, [], None, HybridPhase.CONFIGURED, "no device to show"),
        (FJORD, [AWAY], None, HybridPhase.CONFIGURED, "since 2026-03-02 09:00 UTC"),
        (FJORD, [BAR], None, HybridPhase.CONFIGURED, "could be asked"),
        (FJORD, [BAR], lists(0, 0), HybridPhase.CONFIGURED, "nothing is booked"),
        (FJORD, [BAR], lists(2, 1), HybridPhase.LIVING, "shows its bookings"),
        (FJORD, [BAR], lists(2, 0), HybridPhase.CONFIGURED, "do not look"),
        (FJORD, [BAR], lists(1, 0, "KMS"), HybridPhase.FAILING, "says: KMS"),
        (CALENDAR_BROKEN, [BAR], lists(1, 1), HybridPhase.FAILING, "Calendar broken"),
        (DEAF, [BAR], lists(1, 1), HybridPhase.LIVING, "shows its bookings"),
    ],
)
def test_it_is_plain_whether_a_hybrid_calendar_is_configured_and_lives(
    workspace, devices, heard, phase, words
):
    found = judge_hybrid(workspace, devices, heard)
    assert found.phase is phase
    assert words in found.why
    assert "Fjord" in found.why
    assert (found.mend is None) is (phase is HybridPhase.LIVING or "nothing is booked" in found.why)


async def test_a_living_hybrid_calendar_is_seen_on_a_device_and_its_bookings_are_not_kept(cloud, site):
    fjord = cloud.add_workspace("Fjord", calendar={"type": "microsoft", "emailAddress": "fjord@contoso.com"})
    cloud.add_device(fjord, connected="disconnected")
    navigator, bar = cloud.add_device(fjord), cloud.add_device(fjord)
    booking = {"Id": "webex-7", "MeetingId": "m", "Title": "CANARY", "BookingStatus": "OK"}
    told = {
        navigator: {"ResultInfo": {"TotalRows": 0}},
        bar: {"Booking": [booking], "ResultInfo": {"TotalRows": 1}},
    }
    cloud.commands["Bookings.List"] = lambda device, _: told[device]
    [workspace] = await site.webex.workspaces()
    found = await site.webex.hybrid_calendar(workspace, await site.webex.devices())
    assert (found.phase, found.kind) == (HybridPhase.LIVING, CalendarKind.MICROSOFT)
    assert "CANARY" not in repr(found)
    assert (
        len(cloud.asked("POST", "/v1/xapi/command/Bookings.List")) == 2
    )  # the one that is away is not asked
    told[bar] = {"Booking": booking | {"BookingStatus": "Error", "BookingStatusMessage": "KMS", "Id": ""}}
    found = await site.webex.hybrid_calendar(workspace, await site.webex.devices())
    assert (found.phase, "KMS" in found.why) == (HybridPhase.FAILING, True)
