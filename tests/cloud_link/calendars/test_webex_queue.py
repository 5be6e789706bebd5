"""What an integration hears by its queue, and what it does then, over real sockets."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from agent.core.events import (
    BookingCreated,
    BookingRequested,
    CallsCounted,
    PeopleCounted,
)
from agent.core.model import DeviceId
from cloud_link.calendars.errors import (
    CredentialWrong,
    Misconfigured,
    Refused,
    Revoked,
    Transient,
    Unreadable,
)
from cloud_link.calendars.webex import OperationalState
from cloud_link.calendars.webex_codes import (
    Deprovisioned,
    ManifestApproved,
    Provisioned,
    TokenReplaced,
)
from cloud_link.calendars.webex_messages import (
    Observation,
    StatusChanged,
    StatusMemory,
    as_tree,
    read_batch,
)
from device_adapters.xapi.messages import Feedback
from device_adapters.xapi.translate import Translator
from tests.cloud_link.calendars.webex_site import QUICK, Site, activated
from tests.clouds.serving import CUT, tree
from tests.clouds.webex import WebexCloud

COUNT = ("Status", "RoomAnalytics", "PeopleCount", "Current")
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
async def cloud() -> AsyncIterator[WebexCloud]:
    async with WebexCloud(poll_within_s=5.0) as cloud:
        yield cloud


@pytest.fixture
async def site(cloud: WebexCloud) -> AsyncIterator[Site]:
    async with activated(cloud) as site:
        yield site


@pytest.fixture
def bar(cloud: WebexCloud) -> str:
    """A device in a room."""
    return cloud.add_device(cloud.add_workspace("Fjord"))


# ── as values ─────────────────────────────────────────────────────────────────────────────────────


def changed(
    updated: dict[tuple[str | int, ...], object],
    *,
    removed: tuple[tuple[str | int, ...], ...] = (),
    full=False,
) -> StatusChanged:
    return StatusChanged(
        device_id="d",
        workspace_id="w",
        at=AT,
        full=full,
        updated=tuple(updated.items()),
        removed=removed,
    )


def told(observations: tuple[Observation, ...]) -> list[tuple[object, ...]]:
    return [(one.path, "gone" if one.gone else one.value) for one in observations]


def test_a_whole_picture_shows_what_is_gone():
    memory = StatusMemory()
    assert told(
        memory.heard(changed({("Status", "A"): 1, ("Status", "Call", 1, "Status"): "Connected"}))
    ) == [
        (("Status", "A"), 1),
        (("Status", "Call", 1, "Status"), "Connected"),
    ]
    assert told(memory.heard(changed({("Status", "B"): 2}, full=True))) == [
        (("Status", "A"), "gone"),
        (("Status", "Call", 1, "Status"), "gone"),
        (("Status", "B"), 2),
    ]
    assert told(memory.heard(changed({("Status", "B"): 2}, full=True))) == [(("Status", "B"), 2)]


def test_what_is_removed_takes_what_is_below_with_it():
    memory = StatusMemory()
    memory.heard(
        changed({("Status", "Call", 1, "Status"): "Connected", ("Status", "Call", 2, "Status"): "Idle"})
    )
    assert told(memory.heard(changed({}, removed=(("Status", "Call", 1),)))) == [
        (("Status", "Call", 1), "gone")
    ]
    assert told(memory.heard(changed({}, full=True))) == [(("Status", "Call", 2, "Status"), "gone")]
    memory.heard(changed({("Status", "Call", 3, "Status"): "Idle"}))
    whole = changed({}, removed=(("Status", "Call", 3),), full=True)
    assert told(memory.heard(whole)) == [(("Status", "Call", 3), "gone")]
    other = StatusChanged(device_id="other", workspace_id=None, at=None, full=True, updated=(), removed=())
    assert memory.heard(other) == ()


def test_observations_make_the_tree_that_the_device_itself_would_send():
    memory = StatusMemory()
    observations = memory.heard(
        changed(
            {
                COUNT: 3,
                ("Status", "Call", 2, "Status"): "Connected",
                ("Status", "Call", 2, "Protocol"): "SIP",
                ("Status", "Conference", "Presentation", "LocalInstance", 4): {"SendingMode": "LocalOnly"},
            },
            removed=(("Status", "Call", 1), ("Status", "Standby")),
        )
    )
    assert as_tree(observations) == {
        "Status": {
            "RoomAnalytics": {"PeopleCount": {"Current": 3}},
            "Call": [{"id": 1, "ghost": "True"}, {"id": 2, "Status": "Connected", "Protocol": "SIP"}],
            "Conference": {"Presentation": {"LocalInstance": [{"id": 4, "SendingMode": "LocalOnly"}]}},
            "Standby": {"ghost": "True"},
        }
    }


def test_what_makes_no_sense_is_counted_and_the_rest_is_heard():
    body = b"""{"messages": [
        {"type": "status", "deviceId": "d", "changes":
            {"updated": {"A[x].B": 1, "A.B": 2, "": 3}, "removed": ["C..D"]}},
        {"type": "status"}, {"type": "events", "deviceId": 7}, {"type": "action"}, 7, null,
        {"type": "something new"},
        {"type": "events", "deviceId": "d", "events":
            [{"key": "Bookings.Start", "value": {"Id": "1"}}, {"key": "-"}]}
    ]}"""
    batch = read_batch(body)
    assert batch.unreadable == 3 + 5 + 1
    assert (set(batch.doubtful), batch.lost) == ({"d"}, True)
    status, events = batch.messages
    assert isinstance(status, StatusChanged)
    assert status.updated == ((("Status", "A", "B"), 2),)
    assert "Bookings" in repr(events)
    odd = b"""{"messages": [
        {"type": "events", "deviceId": "e", "timestamp": 7},
        {"type": "status", "deviceId": "s", "changes": {"updated": {"A[x]": 1}}},
        {"type": "action"}, {"type": "healthCheck", "timestamp": 7}, {"type": "something new"}
    ]}"""
    batch = read_batch(odd)
    assert (batch.unreadable, set(batch.doubtful), batch.lost) == (4, {"e"}, False)
    assert read_batch(b"").messages == read_batch(b"{}").messages == ()
    for nonsense in (b"<html>", b"[]", b'{"messages": 7}', b"\xff"):
        with pytest.raises(Unreadable):
            read_batch(nonsense)


# ── heard ─────────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_device_says_by_way_of_the_cloud_means_what_it_means_at_home(cloud, site, bar):
    translator = Translator(DeviceId("bar"))
    async with site.listening():
        await cloud.say(
            cloud.status(bar, {"RoomAnalytics.PeopleCount.Current": 3}, full=True),
            cloud.status(bar, {"SystemUnit.State.NumberOfActiveCalls": 1}),
            cloud.event(
                bar,
                "Bookings.BookingRequested",
                {
                    "BookingRequestUUID": "r",
                    "StartTime": "2026-03-02T09:00:00Z",
                    "Duration": 30,
                    "Title": "Ad hoc",
                },
            ),
            cloud.event(
                bar,
                "Bookings.BookingCreated",
                {
                    "BookingRequestUUID": "r",
                    "Id": "webex-7",
                    "MeetingId": "m",
                    "StartTime": "2026-03-02T09:00:00Z",
                    "Duration": 30,
                    "Title": "Ad hoc",
                },
            ),
        )
        await site.told.until(lambda: len(site.told.observations) == 4)
    events = [
        event for one in site.told.observations for event in translator.heard(Feedback(tree=as_tree([one])))
    ]
    people, calls, requested, created = events
    assert isinstance(people, PeopleCounted)
    assert people.people == 3
    assert isinstance(calls, CallsCounted)
    assert calls.calls == 1
    assert isinstance(requested, BookingRequested)
    assert isinstance(created, BookingCreated)
    assert {one.device_id for one in site.told.observations} == {bar}
    assert translator.unreadable == translator.unknown == 0
    [gone] = translator.heard(Feedback(tree=as_tree([_gone(COUNT)])))
    assert isinstance(gone, PeopleCounted)
    assert gone.people is None


def _gone(path: tuple[str | int, ...]) -> Observation:
    return Observation(device_id="d", workspace_id="w", at=AT, path=path, value=None, gone=True)


async def test_polls_that_bring_nothing_go_on_one_at_a_time():
    async with WebexCloud(poll_within_s=0.01) as cloud, activated(cloud) as site:
        async with site.listening() as queue:
            await site.eventually(lambda: len([one for one in cloud.seen if one.path.endswith("/poll")]) >= 5)
            with pytest.raises(RuntimeError, match="one listener"):
                await queue.listen()
        assert cloud.concurrency.most["poll"] == 1
        assert site.told.anew_times == 1
        assert len(cloud.asked("POST", "/v1/access_token")) == 1


@pytest.mark.parametrize("ask", ["message", "action"])
async def test_a_health_check_is_answered(ask: str, cloud, site):
    async with site.listening():
        site.told.state = OperationalState.IMPAIRED
        await cloud.say(cloud.health_check() if ask == "message" else cloud.action("healthCheck"))
        await site.eventually(lambda: cloud.app.get("operationalState") == "impaired")
        for _ in range(3):
            polls = len(cloud.seen)
            await cloud.say({"type": "something new"})
            await site.eventually(lambda polls=polls: len(cloud.seen) > polls)
    assert site.told.observations == []
    assert len([one for one in cloud.seen if one.method == "PATCH"]) == 2  # switched on, and asked once


async def test_a_health_check_that_could_not_be_answered_is_answered_later(cloud, site, bar):
    async with site.listening():
        cloud.faults.failures += [("/xapi/api/organizations", HTTPStatus.SERVICE_UNAVAILABLE)] * 4
        await cloud.say(cloud.health_check())
        await site.eventually(lambda: cloud.app.get("operationalState") == "operational")
        await cloud.say(cloud.status(bar, {"RoomAnalytics.PeopleCount.Current": 3}))
        await site.told.until(lambda: len(site.told.observations) == 1)


async def test_what_webex_says_about_the_integration_is_done_once(cloud, site):
    async with site.listening():
        update = cloud.action("update", refreshToken="another")
        await cloud.say(
            cloud.action("updateApproved", manifestVersion=2),
            update,
            update,
            cloud.action("update"),
            cloud.action("provision", **cloud.activation(refreshToken="third")),
        )
        await site.told.until(lambda: len(site.told.actions) == 4)
        approved, replaced, updated, provisioned = site.told.actions
    assert approved == ManifestApproved(version=2)
    assert replaced == TokenReplaced(refresh_token="another")
    assert updated == TokenReplaced(refresh_token=None)
    assert isinstance(provisioned, Provisioned)
    assert provisioned.activation.refresh_token == "third"
    assert "third" not in repr(site.told.actions)
    assert "another" not in repr(site.told.actions)
    assert site.kept.tokens[-1] == "another"
    assert len(cloud.asked("GET", "/jwks")) == 1


async def test_an_integration_that_is_taken_out_of_use_is_revoked(cloud, site):
    await cloud.say(cloud.action("deprovision"))
    with pytest.raises(Revoked, match="out of use"):
        await site.queue().listen()
    assert site.told.actions == [Deprovisioned()]


async def test_forged_actions_are_counted_and_nothing_else(cloud, site, bar):
    ours = {"sub": cloud.org_id, "appId": cloud.app_id, "action": "deprovision", "jti": "1"}
    async with site.listening() as queue:
        await cloud.say(
            {"type": "action", "jwt": cloud.sign(ours, key=ec.generate_private_key(ec.SECP256R1()))},
            {"type": "action", "jwt": "not.even.one"},
            cloud.action("deprovision", sub="another organisation"),
            cloud.action("deprovision", appId="another app"),
            cloud.action("explode"),
            cloud.status(bar, {"RoomAnalytics.PeopleCount.Current": 3}),
        )
        await site.eventually(lambda: queue.forged == 5)
        await site.told.until(lambda: len(site.told.observations) == 1)
    assert site.told.actions == []


async def test_an_event_that_cannot_be_read_takes_no_other_with_it_and_is_made_up_for(cloud, site, bar):
    readable = cloud.event(bar, "Bookings.Start", {"Id": "1"})
    broken = {**readable, "events": [{"key": 7}, *readable["events"], {"timestamp": 7}, None]}
    async with site.listening() as queue:
        await cloud.say(broken)
        await site.told.until(lambda: len(site.told.observations) == 1)
        await site.eventually(lambda: site.told.resumed_devices == [bar])
        assert queue.unreadable == 3
        await cloud.say({"type": "events", "events": []})
        await site.told.until(lambda: site.told.anew_times == 2)
        assert site.told.resumed_devices == [bar]


async def test_only_devices_that_are_followed_are_remembered(cloud, site, bar):
    other = cloud.add_device(cloud.add_workspace("Skagen"))
    site.told.unfollowed.add(other)
    people = {"RoomAnalytics.PeopleCount.Current": 3}
    async with site.listening():
        await cloud.say(cloud.status(bar, people), cloud.status(other, people))
        await cloud.say(cloud.status(bar, {}, full=True), cloud.status(other, {}, full=True))
        await site.told.until(lambda: len(site.told.observations) == 3)
        assert [one.gone for one in site.told.observations] == [False, False, True]
        site.told.unfollowed.add(bar)
        await cloud.say(cloud.status(bar, people), cloud.status(bar, {}, full=True))
        await site.told.until(lambda: len(site.told.observations) == 4)
        await site.eventually(lambda: site.told.resumed_devices == [bar, other, bar])


@pytest.mark.parametrize("trouble", ["its key is out of reach", "it is refused"])
async def test_an_action_that_cannot_be_done_for_now_makes_nobody_deaf(trouble: str, cloud, site, bar):
    hidden = [tree({}, 503)] if trouble == "its key is out of reach" else []
    cloud.interrupt = lambda request: hidden[0] if hidden and request.path == "/jwks" else None
    site.told.fails = None if hidden else Refused("No")
    with capture_logs() as logs:
        async with site.listening(rest_s=0.01):
            await cloud.say(cloud.action("updateApproved", manifestVersion=3))
            for count in range(3):
                await cloud.say(cloud.status(bar, {"RoomAnalytics.PeopleCount.Current": count}))
                await site.told.until(lambda count=count: len(site.told.observations) == count + 1)
            await site.eventually(lambda: len(cloud.asked("GET", "/jwks")) > QUICK.attempts or not hidden)
            hidden.clear()
            await site.told.until(lambda: site.told.actions == [ManifestApproved(version=3)])
            assert (site.told.troubles, site.told.anew_times) == ([], 1)
    assert [entry["event"] for entry in logs] == ["webex.action_put_off"]


async def test_an_action_waits_until_its_key_can_be_had(cloud, site):
    async with site.listening():
        cloud.faults.failures += [("/jwks", HTTPStatus.SERVICE_UNAVAILABLE)] * 4
        await cloud.say(cloud.action("updateApproved", manifestVersion=3))
        await site.told.until(lambda: site.told.actions == [ManifestApproved(version=3)])


@pytest.mark.parametrize("trouble", ["cut", "failure", "nonsense", "refused"])
async def test_after_an_error_listening_goes_on_and_devices_are_asked_anew(trouble: str, cloud, site, bar):
    answers = {
        "cut": CUT,
        "failure": tree({}, 502),
        "nonsense": tree([]),
        "refused": tree({"message": "No"}, 403),
    }
    left = [answers[trouble]]
    cloud.interrupt = lambda request: left.pop() if request.path.endswith("/poll") and left else None
    async with site.listening():
        await site.told.until(lambda: site.told.anew_times == 2)
        await cloud.say(cloud.status(bar, {"RoomAnalytics.PeopleCount.Current": 3}))
        await site.told.until(lambda: len(site.told.observations) == 1)


async def test_a_queue_that_is_gone_is_asked_for_again(cloud, site, bar):
    left = [tree({}, 404)]
    cloud.interrupt = lambda request: left.pop() if request.path.endswith("/poll") and left else None
    async with site.listening():
        await cloud.say(cloud.status(bar, {"RoomAnalytics.PeopleCount.Current": 3}))
        await site.told.until(lambda: len(site.told.observations) == 1)
    assert len([one for one in cloud.seen if one.method == "PATCH"]) == 2


async def test_who_is_told_to_poll_later_waits(cloud, site, bar):
    people = cloud.status(bar, {"RoomAnalytics.PeopleCount.Current": 3})
    async with site.listening():
        cloud.faults.slow_down.append(("/xapi/api/organizations", HTTPStatus.TOO_MANY_REQUESTS, 1))
        await cloud.say(people)
        await site.told.until(lambda: site.told.anew_times == 2)
        await cloud.say(people)
        await site.told.until(lambda: len(site.told.observations) == 2)
    assert cloud.rests.broken == []


async def test_trouble_that_lasts_is_told_once(cloud, site, bar):
    left = [tree({}, 502)] * 5
    cloud.interrupt = lambda request: left.pop() if request.path.endswith("/poll") and left else None
    with capture_logs() as logs:
        async with site.listening():
            await cloud.say(cloud.status(bar, {"RoomAnalytics.PeopleCount.Current": 3}))
            await site.told.until(lambda: len(site.told.observations) == 1)
            await site.eventually(lambda: cloud.polling == 1)
    assert [entry["event"] for entry in logs] == ["webex.queue_lost", "webex.queue_resumed"]


async def test_a_poll_address_on_another_host_is_refused(cloud, site):
    cloud.faults.poll_elsewhere = "https://queue.evil.example/poll"
    with pytest.raises(Misconfigured, match="not one of Webex's hosts"):
        await site.queue().listen()


async def test_somebody_must_act_where_access_is_refused_for_good(cloud, site):
    cloud.faults.token_refusal = (HTTPStatus.UNAUTHORIZED, {"message": "invalid_client"})
    with pytest.raises(CredentialWrong):
        await site.queue().listen()
    cloud.faults.token_refusal = None
    cloud.faults.gone = True
    with pytest.raises(Revoked):
        await site.queue().listen()


async def test_no_secret_and_nothing_private_gets_into_a_log_or_a_request(cloud, site, bar, caplog):
    caplog.set_level(logging.DEBUG)
    cloud.faults.rotates = False
    value = {"Id": "1", "Title": "CANARY-TITLE", "OrganizerName": "CANARY-ORGANIZER"}
    cloud.commands["Bookings.List"] = lambda *_: {"Booking": [value | {"BookingStatus": "OK"}]}
    shown: list[str] = []
    with capture_logs() as logs, contextlib.suppress(Revoked):
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(site.queue().listen(), name="queue")
            await site.eventually(lambda: cloud.polling > 0)
            await cloud.say(
                cloud.event(bar, "Bookings.BookingCreated", value),
                cloud.event(bar, "Bookings.CANARY-KEY", value),
                {
                    "type": "status",
                    "deviceId": bar,
                    "changes": {"updated": {"A": "CANARY"}, "removed": "CANARY"},
                },
                {"type": "action", "jwt": "CANARY.CANARY.CANARY"},
            )
            await site.told.until(lambda: len(site.told.observations) == 1)
            shown += [repr(site.told.observations), repr(await site.webex.heard_bookings(bar))]
            left = [tree({"messages": "CANARY"})]
            cloud.interrupt = lambda request: left.pop() if request.path.endswith("/poll") and left else None
            await cloud.say(cloud.health_check())
            await site.told.until(lambda: site.told.anew_times == 2)
            task.cancel()
    assert [entry["event"] for entry in logs].count("webex.queue_lost") == 1
    everything = "\n".join([*shown, repr(logs), caplog.text])
    access = await site.tokens.token()
    for secret in ("CANARY", cloud.client_secret, cloud.refresh_token, access):
        assert secret not in everything
    for request in cloud.seen:
        assert "CANARY" not in request.target
        assert b"CANARY" not in request.body
        assert access not in request.target


async def test_whole_pictures_and_troubles_are_told_beside_what_is_in_them(cloud, site, bar):
    async with site.listening():
        await cloud.say(cloud.status(bar, {"RoomAnalytics.PeopleCount.Current": 2}))
        await cloud.say(cloud.status(bar, {"RoomAnalytics.PeopleCount.Current": 3}, full=True))
        await site.told.until(lambda: len(site.told.observations) == 2)
        await site.eventually(lambda: site.told.resumed_devices == [bar])
        assert site.told.integration is not None
        assert site.told.integration.access.commands == ("Bookings.*",)
        cloud.interruptions.append(CUT)
        await cloud.say(cloud.health_check())
        await site.eventually(lambda: site.told.troubles[-1:] == [None])
        assert [type(each) for each in site.told.troubles] == [Transient, type(None)]
