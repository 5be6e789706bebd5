"""A site's calendars over real sockets and a real database: read, in trouble, revoked, written, restarted."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from agent.core.events import (
    CalendarListed,
    CalendarOrderRefused,
    CalendarOrderTaken,
    CalendarsLinked,
)
from agent.core.facts import BookInCalendar, ExtendInCalendar, ListCalendar, ReleaseInCalendar
from agent.core.model import CalendarKind, CalendarPhase, CommandId, EntryId, RequestId, RoomId
from cloud_link.calendars.accounts import PushDoor, Way
from cloud_link.calendars.google_calendar import Writing
from cloud_link.calendars.integration import Service
from cloud_link.calendars.matching import Ground
from cloud_link.calendars.push import Hears
from cloud_link.calendars.views import IntegrationTurned
from tests.cloud_link.calendars.reading import NINE, Clock, Stand
from tests.cloud_link.calendars.reading import stand as standing
from tests.cloud_link.calendars.watching import opened
from tests.clouds.microsoft import READ_WRITE
from tests.clouds.serving import SILENCE, text

FJORD, LAKE = RoomId("fjord"), RoomId("lake")
ACTIVE, CONNECTING, DEGRADED = CalendarPhase.ACTIVE, CalendarPhase.CONNECTING, CalendarPhase.DEGRADED
MICROSOFT, GOOGLE = CalendarKind.MICROSOFT, CalendarKind.GOOGLE


UNAVAILABLE = text("", 503, Retry_After="5")  # more than a request waits for by itself


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing(tmp_path) as it:
        yield it


# ── reading ──


async def test_rooms_of_both_clouds_are_told_as_connecting_and_then_listed(stand: Stand):
    stand.add_microsoft("fjord")
    stand.add_google("lake")
    stand.meet_at_microsoft("fjord", "Budget")
    stand.meet_at_google("lake", "Planning")
    async with stand.running(microsoft=stand.microsoft_account(), google=stand.google_account()) as site:
        assert site.linked() == {FJORD: (MICROSOFT,), LAKE: (GOOGLE,)}
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        assert stand.listed("fjord") == [["Budget"]]
        assert stand.listed("lake") == [["Planning"]]
        assert stand.phases("fjord") == stand.phases("lake") == [CONNECTING, ACTIVE]
        assert {turned.service: turned.phase for turned in stand.turned} == {
            Service.MICROSOFT: ACTIVE,
            Service.GOOGLE: ACTIVE,
        }
        view = stand.room_view(Service.MICROSOFT, "fjord")
        assert (view.phase, view.ground, view.listed_at) == (ACTIVE, Ground.BY_HAND, NINE)


async def test_a_listing_covers_today_and_tomorrow_of_the_site_also_where_clocks_change(tmp_path: Path):
    saturday = datetime(2026, 3, 28, 12, tzinfo=UTC)
    async with standing(tmp_path, Clock(saturday)) as stand:
        stand.add_microsoft("fjord")
        async with stand.running(microsoft=stand.microsoft_account()):
            await stand.until(lambda: stand.listed("fjord"))
            (listed,) = stand.of("fjord", CalendarListed)
            assert isinstance(listed, CalendarListed)
            assert listed.covers_from == datetime(2026, 3, 27, 23, tzinfo=UTC)
            assert listed.covers_until == datetime(2026, 3, 29, 22, tzinfo=UTC)  # 47 hours
            assert listed.asked_at == saturday


async def test_the_core_asks_and_the_room_is_listed_two_seconds_later(stand: Stand):
    stand.add_microsoft("fjord")
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.until(lambda: stand.listed("fjord"))
        stand.meet_at_microsoft("fjord", "Added")
        site.ask(FJORD, ListCalendar(calendar=MICROSOFT))
        await stand.go_on(seconds=1.9)
        assert len(stand.listed("fjord")) == 1
        await stand.go_on(seconds=0.2)
        assert stand.listed("fjord") == [[], ["Added"]]


async def test_thirty_hints_for_one_room_cost_at_most_two_listings(stand: Stand):
    stand.add_microsoft("fjord", "lake")
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        await stand.go_on(minutes=1)
        before = stand.microsoft.asked["fjord@contoso.example"]
        for _ in range(30):
            site.ask(FJORD, ListCalendar(calendar=MICROSOFT))
            await stand.go_on(seconds=0.4)
        await stand.go_on(seconds=30)
        assert 1 <= stand.microsoft.asked["fjord@contoso.example"] - before <= 2


@pytest.mark.parametrize("minutes", [65])
async def test_every_room_is_listed_again_before_its_listing_is_too_old(stand: Stand, minutes: int):
    stand.luck = lambda: 0.99
    stand.add_microsoft("fjord")
    stand.add_google("lake")
    async with stand.running(microsoft=stand.microsoft_account(), google=stand.google_account()):
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        await stand.go_on(minutes=minutes)
        for room in ("fjord", "lake"):
            times = [event.asked_at for event in stand.of(room, CalendarListed)]  # type: ignore[union-attr]
            gaps = [after - before for before, after in pairwise(times)]
            assert len(gaps) >= 4
            assert max(gaps) <= timedelta(minutes=16)


# ── one room ──


async def test_one_room_that_is_denied_is_that_rooms_trouble(stand: Stand):
    names = [f"room{number}" for number in range(20)]
    stand.add_microsoft(*names)
    stand.microsoft.rooms["room7@contoso.example"].refusal = (403, "ErrorAccessDenied", "Access is denied.")
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: all(stand.listed(name) for name in names if name != "room7"))
        await stand.go_on(minutes=40)
        assert [turned.phase for turned in stand.turned] == [ACTIVE]
        assert stand.phases("room7") == [CONNECTING, DEGRADED]
        assert "may not be read" in (stand.why("room7") or "")
        assert all(stand.phases(name) == [CONNECTING, ACTIVE] for name in names if name != "room7")
        assert all(len(stand.listed(name)) >= 3 for name in names if name != "room7")
        assert not stand.listed("room7")
        stand.microsoft.rooms["room7@contoso.example"].refusal = None
        await stand.until(lambda: stand.listed("room7"), hours=1)
        assert stand.phases("room7")[-1] is ACTIVE


async def test_a_room_that_is_unknown_is_asked_less_often_and_the_others_are_read(stand: Stand):
    stand.add_google("fjord", "lake")
    del stand.google.calendars[stand.google_address("lake")]
    async with stand.running(google=stand.google_account()):
        await stand.until(lambda: stand.listed("fjord"))
        await stand.go_on(minutes=30)
        assert len(stand.listed("fjord")) >= 3
        assert stand.phases("lake") == [CONNECTING, DEGRADED]
        asked = sum(
            "c_000002" in heard.path and heard.path.endswith("/events") for heard in stand.google.heard
        )
        assert asked <= 5


async def test_a_mailbox_that_asks_for_time_gets_it_to_the_second(stand: Stand):
    stand.add_microsoft("fjord", "lake")
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        stand.microsoft.faults.batch_failures["fjord@contoso.example"] = [(429, {"Retry-After": "300"})]
        await stand.go_on(minutes=1)
        site.ask(FJORD, ListCalendar(calendar=MICROSOFT))
        await stand.until(lambda: stand.phases("fjord")[-1] is DEGRADED, seconds=3)
        asked = stand.microsoft.asked["fjord@contoso.example"]
        for _ in range(4):
            site.ask(FJORD, ListCalendar(calendar=MICROSOFT))
            await stand.go_on(minutes=1)
        assert stand.microsoft.asked["fjord@contoso.example"] == asked
        assert stand.view(Service.MICROSOFT).phase is ACTIVE


# ── the whole integration ──


async def test_an_outage_is_told_once_and_shows_no_empty_room(stand: Stand):
    stand.add_microsoft("fjord", "lake")
    stand.meet_at_microsoft("fjord", "Budget")
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.listed("fjord"))
        stand.microsoft_service.interrupt = lambda _: UNAVAILABLE
        await stand.until(lambda: stand.phases("fjord")[-1] is DEGRADED, hours=1)
        assert stand.view(Service.MICROSOFT).phase is DEGRADED
        stand.microsoft_service.interrupt = lambda _: None
        await stand.until(lambda: stand.phases("fjord")[-1] is ACTIVE, hours=1)
        assert stand.phases("fjord") == [CONNECTING, ACTIVE, DEGRADED, ACTIVE]
        assert all(listing == ["Budget"] for listing in stand.listed("fjord"))
        assert [turned.phase for turned in stand.turned] == [ACTIVE, DEGRADED, ACTIVE]


async def test_a_cloud_that_was_never_reached_says_why_and_is_read_once_it_answers(stand: Stand):
    stand.add_microsoft("fjord")
    stand.microsoft_service.interrupt = lambda _: UNAVAILABLE
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: "not available (503)" in (stand.view(Service.MICROSOFT).why or ""))
        await stand.until(
            lambda: "not available (503)" in (stand.room_view(Service.MICROSOFT, "fjord").why or "")
        )
        await stand.go_on(minutes=10)
        assert stand.phases("fjord") == [CONNECTING]
        assert not stand.listed("fjord")
        asked = len(stand.microsoft_service.seen)
        assert asked < 60
        stand.microsoft_service.interrupt = lambda _: None
        await stand.until(lambda: stand.listed("fjord"), minutes=20)
        assert stand.room_view(Service.MICROSOFT, "fjord").why is None


async def test_two_rooms_that_share_a_calendar_are_both_told(stand: Stand):
    stand.add_microsoft("fjord")
    stand.rooms.append(replace(stand.rooms[0], id=LAKE, name="Lake"))
    stand.meet_at_microsoft("fjord", "Budget")
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        assert stand.listed("fjord") == stand.listed("lake") == [["Budget"]]


async def test_three_lost_answers_of_one_room_say_nothing_of_the_others(stand: Stand):
    stand.add_microsoft("fjord", "lake")
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        failures: list[tuple[int, dict[str, str]]] = [(503, {})] * 9  # each is asked three times
        stand.microsoft.faults.batch_failures["fjord@contoso.example"] = failures
        for _ in range(3):
            site.ask(FJORD, ListCalendar(calendar=MICROSOFT))
            site.ask(LAKE, ListCalendar(calendar=MICROSOFT))
            await stand.go_on(minutes=1)
        await stand.until(lambda: len(stand.listed("fjord")) > 1, minutes=30)
        assert not stand.microsoft.faults.batch_failures["fjord@contoso.example"]
        assert [turned.phase for turned in stand.turned] == [ACTIVE]


async def test_everybody_who_is_told_to_slow_down_slows_down_and_no_room_alone(stand: Stand):
    stand.add_google("fjord", "lake")
    async with stand.running(google=stand.google_account()) as site:
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        stand.google.faults.slow_down, stand.google.faults.retry_after_s = 1, 120
        site.ask(FJORD, ListCalendar(calendar=GOOGLE))
        await stand.go_on(seconds=3)
        asked = len(stand.google.heard)
        site.ask(LAKE, ListCalendar(calendar=GOOGLE))
        await stand.go_on(seconds=100)
        assert len(stand.google.heard) == asked
        assert stand.phases("fjord") == stand.phases("lake") == [CONNECTING, ACTIVE]


async def test_a_listing_whose_pages_are_gone_is_begun_anew_and_shows_no_half_of_itself(stand: Stand):
    stand.add_google("fjord")
    for number in range(5):
        stand.meet_at_google("fjord", f"Meeting{number}", hour=10 + number)
    stand.google.faults.page_size = 2
    stand.google.faults.gone, stand.google.faults.gone_on_page = ["fullSyncRequired"], 2
    async with stand.running(google=stand.google_account()):
        await stand.until(lambda: stand.listed("fjord"))
        assert [len(listing) for listing in stand.listed("fjord")] == [5]


# ── consent, credentials, clocks ──


def refuse(stand: Stand, status: int, error: str, number: int) -> None:
    """From now on no token is given, and none that was given is taken."""
    stand.microsoft.faults.token_refusal = (status, error, number)
    stand.microsoft.expire_tokens()


async def test_consent_that_is_gone_twice_wipes_and_consent_restores_also_after_a_restart(stand: Stand):
    stand.add_microsoft("fjord")
    stand.meet_at_microsoft("fjord", "Budget")
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.listed("fjord"))
        refuse(stand, 400, "unauthorized_client", 700016)
        await stand.until(lambda: stand.phases("fjord")[-1] is DEGRADED, minutes=20)
        doubted_at = stand.clock.at
        await stand.until(lambda: stand.phases("fjord")[-1] is CalendarPhase.REVOKED, minutes=20)
        assert stand.clock.at - doubted_at >= timedelta(minutes=5)
        assert stand.phases("fjord") == [CONNECTING, ACTIVE, DEGRADED, CalendarPhase.REVOKED]
        assert "roomd calendars connect microsoft" in (stand.why("fjord") or "")
        assert set((await stand.kept()).revoked) == {Service.MICROSOFT}
        assert "s3cret" not in repr(await stand.kept())
        asked = len(stand.microsoft_service.seen)
        await stand.go_on(minutes=40)
        assert len(stand.microsoft_service.seen) == asked

    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.go_on(minutes=20)
        assert stand.phases("fjord")[4:] == [CalendarPhase.REVOKED]
        assert len(stand.microsoft_service.seen) == asked
        stand.microsoft.faults.token_refusal = None
        assert await site.consent(Service.MICROSOFT)
        assert not await site.consent(Service.GOOGLE)
        await stand.until(lambda: stand.phases("fjord")[-1] is ACTIVE)
        assert stand.phases("fjord")[5:] == [CONNECTING, ACTIVE]
        assert stand.listed("fjord")[-1] == ["Budget"]
        assert not (await stand.kept()).revoked


async def test_another_credential_is_consent_enough(stand: Stand):
    stand.add_microsoft("fjord")
    refuse(stand, 401, "invalid_client", 7000229)
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.phases("fjord")[-1:] == [CalendarPhase.REVOKED], minutes=20)
    stand.microsoft.faults.token_refusal = None
    stand.microsoft.secrets.add("another")
    stand.secret_file.write_text("another")
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.listed("fjord"))
        await stand.still()
        assert not (await stand.kept()).revoked


@pytest.mark.parametrize("number", [7000215, 7000222])
async def test_a_credential_that_is_wrong_wipes_nothing_and_another_is_taken_within_a_minute(
    stand: Stand, number: int
):
    stand.add_microsoft("fjord")
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.listed("fjord"))
        refuse(stand, 401, "invalid_client", number)
        await stand.until(lambda: stand.phases("fjord")[-1] is CalendarPhase.CREDENTIAL, minutes=20)
        await stand.go_on(hours=1)
        assert not (await stand.kept()).revoked
        assert stand.phases("fjord") == [CONNECTING, ACTIVE, CalendarPhase.CREDENTIAL]
        assert stand.microsoft.calls["token"] < 10
        stand.microsoft.faults.token_refusal = None
        stand.microsoft.secrets = {"another"}
        stand.secret_file.write_text("another")
        await stand.until(lambda: stand.phases("fjord")[-1] is ACTIVE, minutes=2)


async def test_a_secret_that_is_not_there_is_told_and_taken_once_it_is(stand: Stand):
    stand.add_microsoft("fjord")
    stand.secret_file.unlink()
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.phases("fjord")[-1:] == [CalendarPhase.CREDENTIAL])
        assert "cannot be read" in (stand.view(Service.MICROSOFT).why or "")
        assert not stand.microsoft_service.seen
        stand.secret_file.write_text("s3cret")
        await stand.until(lambda: stand.listed("fjord"), minutes=3)


async def test_a_proxy_that_is_none_and_an_authority_that_is_none_are_told(stand: Stand):
    stand.add_microsoft("fjord")
    stand.add_google("lake")
    nothing = stand.directory / "nothing.pem"
    nothing.write_text("no certificate")
    microsoft = replace(stand.microsoft_account(), way=Way(proxy="ftp://roomd:hunter2@proxy.example"))
    google = replace(stand.google_account(), way=Way(ca_file=nothing))
    async with stand.running(microsoft=microsoft, google=google):
        await stand.until(
            lambda: {turned.service for turned in stand.turned} == {Service.MICROSOFT, Service.GOOGLE}
        )
        await stand.go_on(minutes=20)
        for service, why in ((Service.MICROSOFT, "proxy"), (Service.GOOGLE, "nothing.pem")):
            view = stand.view(service)
            assert view.phase is CalendarPhase.CREDENTIAL
            assert why in (view.why or "")
            assert "hunter2" not in (view.why or "")
        assert len(stand.turned) == 2


async def test_what_a_client_that_was_given_up_is_still_told_does_not_count(stand: Stand):
    stand.add_microsoft("fjord")
    refuse(stand, 400, "unauthorized_client", 700016)
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.until(lambda: stand.phases("fjord")[-1:] == [DEGRADED])
        stand.holding = told = asyncio.Event()
        seen = len(stand.microsoft_service.seen)
        stand.clock.put(stand.clock.at + timedelta(minutes=7))  # it is asked a second time
        await stand.microsoft_service.until_seen(seen + 1)
        stand.microsoft.faults.token_refusal, stand.holding = None, None
        active = asyncio.Event()

        async def note(turned: IntegrationTurned) -> None:
            if turned.phase is ACTIVE:
                active.set()

        stand.telling = note
        assert await site.consent(Service.MICROSOFT)
        await active.wait()
        told.set()
        await stand.go_on(minutes=20)
        assert stand.phases("fjord") == [CONNECTING, DEGRADED, CONNECTING, ACTIVE]
        assert not (await stand.kept()).revoked


async def test_a_client_that_was_given_up_keeps_no_connection(stand: Stand):
    stand.add_microsoft("fjord")
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.until(lambda: stand.listed("fjord"))
        stood = stand.microsoft_service.open
        for _ in range(5):
            connections = stand.microsoft_service.connections
            await site.consent(Service.MICROSOFT)
            await stand.until(lambda now=connections: stand.microsoft_service.connections > now)  # type: ignore[misc]
            await stand.go_on(minutes=1)
        assert stand.microsoft_service.open <= stood + 1


async def test_consent_that_is_given_while_it_is_noted_as_gone_stays_given(stand: Stand):
    stand.add_microsoft("fjord", "lake")
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))

        async def consent_at_once(turned: IntegrationTurned) -> None:
            if turned.phase is CalendarPhase.REVOKED:
                stand.microsoft.roles |= {"Place.Read.All", "Calendars.Read"}
                await site.consent(Service.MICROSOFT)

        stand.telling = consent_at_once
        stand.microsoft.roles.clear()
        stand.microsoft.expire_tokens()
        revoked_and_back = [CalendarPhase.REVOKED, CONNECTING, ACTIVE]
        await stand.until(lambda: [turned.phase for turned in stand.turned][-3:] == revoked_and_back, hours=2)
        await stand.still()
        assert not (await stand.kept()).revoked


async def test_a_clock_that_is_wrong_is_told_and_wipes_nothing(stand: Stand):
    stand.add_google("fjord")
    late = timedelta(hours=2)
    stand.google.now = lambda: stand.clock.now() + late
    async with stand.running(google=stand.google_account()):
        await stand.until(lambda: stand.phases("fjord")[-1:] == [CalendarPhase.CLOCK_SKEW])
        await stand.go_on(minutes=20)
        assert stand.phases("fjord") == [CONNECTING, CalendarPhase.CLOCK_SKEW]
        assert "NTP" in (stand.why("fjord") or "")
        assert not (await stand.kept()).revoked
        late = timedelta()
        await stand.until(lambda: stand.listed("fjord"), minutes=15)
        assert stand.phases("fjord")[-1] is ACTIVE


async def test_permissions_that_are_gone_revoke_only_after_everybody_said_so_twice(stand: Stand):
    stand.add_microsoft("fjord", "lake")
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        stand.microsoft.roles.clear()
        stand.microsoft.expire_tokens()
        await stand.until(lambda: stand.turned[-1].phase is DEGRADED, minutes=30)
        doubted_at = stand.clock.at
        await stand.until(lambda: stand.turned[-1].phase is CalendarPhase.REVOKED, hours=2)
        assert stand.clock.at - doubted_at >= timedelta(minutes=5)
        assert set((await stand.kept()).revoked) == {Service.MICROSOFT}


async def test_a_site_that_may_read_no_room_and_lists_them_is_not_revoked(stand: Stand):
    stand.add_microsoft("fjord", "lake")
    stand.microsoft.roles.discard("Calendars.Read")
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.phases("lake")[-1:] == [DEGRADED])
        await stand.go_on(hours=2)
        assert stand.phases("fjord") == stand.phases("lake") == [CONNECTING, DEGRADED]
        assert stand.microsoft.calls["places"] <= 6
        assert [turned.phase for turned in stand.turned] == [ACTIVE]


async def test_a_doubt_that_one_room_can_end_ends(stand: Stand):
    stand.add_microsoft("fjord", "lake")
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        stand.microsoft.roles.clear()
        stand.microsoft.expire_tokens()
        await stand.until(lambda: stand.turned[-1].phase is DEGRADED, minutes=30)
        stand.microsoft.roles |= {"Place.Read.All", "Calendars.Read"}
        stand.microsoft.expire_tokens()
        await stand.until(lambda: stand.turned[-1].phase is ACTIVE, hours=2)
        await stand.until(lambda: stand.phases("lake")[-1] is ACTIVE, hours=2)
        assert not (await stand.kept()).revoked


# ── links ──


async def test_rooms_are_linked_by_name_and_known_after_a_restart_before_the_list_is_read(stand: Stand):
    stand.add_microsoft("fjord", by_hand=False)
    stand.add_google("fjord-annex", "lake", by_hand=False)
    stand.meet_at_microsoft("fjord", "Budget")
    microsoft, google = stand.microsoft_account(), stand.google_account()
    async with stand.running(microsoft=microsoft, google=google) as site:
        assert site.linked() == {}
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        assert list(stand.of("fjord", CalendarsLinked)) == [CalendarsLinked(calendars=(MICROSOFT,))]
        assert stand.listed("fjord") == [["Budget"]]
        assert stand.room_view(Service.MICROSOFT, "fjord").ground is Ground.NAME
        assert stand.room_view(Service.MICROSOFT, "lake").address is None
        await stand.still()
        assert (await stand.kept()).links[Service.MICROSOFT] == {FJORD: "fjord@contoso.example"}
    stand.microsoft_service.interrupt = lambda _: UNAVAILABLE
    stand.told.clear()
    async with stand.running(microsoft=microsoft, google=google) as site:
        assert site.linked()[FJORD] == (MICROSOFT,)
        await stand.go_on(minutes=10)
        assert not list(stand.of("fjord", CalendarsLinked))
        assert stand.phases("fjord")[:1] == [CONNECTING]


async def test_who_fits_two_is_a_doubt_and_linked_with_none(stand: Stand):
    stand.add_google("fjord", by_hand=False)
    stand.google.add_room("Fjord")
    async with stand.running(google=stand.google_account()) as site:
        await stand.until(lambda: stand.view(Service.GOOGLE).doubts)
        (doubt,) = stand.view(Service.GOOGLE).doubts
        assert doubt.one == "fjord"
        assert len(doubt.candidates) == 2
        assert len(stand.view(Service.GOOGLE).others) == 2
        assert site.linked() == {}


async def test_a_room_that_is_hidden_is_read_at_its_address_by_hand_and_is_no_doubt(stand: Stand):
    stand.add_microsoft("fjord")
    stand.microsoft.rooms["fjord@contoso.example"].place = None
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.listed("fjord"))
        assert not stand.view(Service.MICROSOFT).doubts


async def test_a_list_that_is_cut_short_unlinks_nobody(stand: Stand):
    stand.add_microsoft("fjord", by_hand=False)
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.until(lambda: stand.listed("fjord"))
        stand.microsoft.rooms["fjord@contoso.example"].place = None
        await site.consent(Service.MICROSOFT)
        await stand.until(lambda: stand.microsoft.calls["places"] > 1)
        await stand.still()
        assert site.linked() == {FJORD: (MICROSOFT,)}


async def test_a_mailbox_that_was_deleted_is_no_longer_the_rooms_and_another_is_looked_for(stand: Stand):
    stand.add_microsoft("fjord", "lake", by_hand=False)
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        await stand.go_on(minutes=10)
        del stand.microsoft.rooms["fjord@contoso.example"]
        await stand.until(lambda: stand.phases("fjord")[-1] is DEGRADED, minutes=20)
        assert "found by the room's name" in (stand.why("fjord") or "")
        assert "address in the configuration" not in (stand.why("fjord") or "")
        await stand.until(lambda: site.linked() == {LAKE: (MICROSOFT,)}, minutes=10)
        assert list(stand.of("fjord", CalendarsLinked))[-1] == CalendarsLinked(calendars=())
        await stand.still()
        assert (await stand.kept()).links[Service.MICROSOFT] == {LAKE: "lake@contoso.example"}
        asked = stand.microsoft.asked["fjord@contoso.example"]
        stand.microsoft.add_room("fjord2@contoso.example", "Fjord")
        await stand.until(
            lambda: stand.room_view(Service.MICROSOFT, "fjord").address == "fjord2@contoso.example", hours=25
        )
        assert stand.microsoft.asked["fjord@contoso.example"] == asked


async def test_an_address_by_hand_stays_although_nothing_is_there(stand: Stand):
    stand.add_microsoft("fjord", "lake")
    del stand.microsoft.rooms["fjord@contoso.example"]
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.until(lambda: stand.phases("fjord")[-1:] == [DEGRADED])
        await stand.go_on(hours=25)
        assert site.linked()[FJORD] == (MICROSOFT,)
        assert "check the mailbox address in the configuration" in (stand.why("fjord") or "")
        assert stand.microsoft.calls["places"] <= 3


async def test_what_was_found_in_another_tenant_is_asked_for_in_this_one_never(stand: Stand):
    stand.add_microsoft("fjord", by_hand=False)
    async with stand.running(microsoft=stand.microsoft_account()):
        await stand.until(lambda: stand.listed("fjord"))
        await stand.still()
    asked = stand.microsoft.asked["fjord@contoso.example"]
    stand.microsoft.tenant = "fabrikam.example"
    stand.microsoft.rooms.clear()
    stand.microsoft.add_room("fjord@fabrikam.example", "Fjord")
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        assert site.linked() == {}
        await stand.until(lambda: site.linked() == {FJORD: (MICROSOFT,)})
        await stand.until(lambda: stand.microsoft.asked["fjord@fabrikam.example"])
        assert stand.microsoft.asked["fjord@contoso.example"] == asked


async def test_what_comes_of_a_calendar_that_is_another_rooms_by_now_is_dropped(stand: Stand):
    stand.add_microsoft("fjord", "lake", by_hand=False)
    stand.meet_at_microsoft("fjord", "Budget")
    async with stand.running(microsoft=stand.microsoft_account()) as site:
        await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
        listings = len(stand.listed("fjord"))
        fjord, lake = (stand.microsoft.rooms[f"{name}@contoso.example"] for name in ("fjord", "lake"))
        assert fjord.place is not None
        assert lake.place is not None
        fjord.place["displayName"], lake.place["displayName"] = "Lake", "Fjord"
        stand.microsoft.faults.latency_s = 0.3  # a listing is under way while the list of rooms is read
        await site.consent(Service.MICROSOFT)
        site.ask(FJORD, ListCalendar(calendar=MICROSOFT))
        await stand.until(
            lambda: stand.room_view(Service.MICROSOFT, "fjord").address == "lake@contoso.example"
        )
        stand.microsoft.faults.latency_s = 0.0
        await stand.until(lambda: len(stand.listed("lake")) > 1 and ["Budget"] in stand.listed("lake"))
        assert not any(stand.listed("fjord")[listings:])
        assert len(list(stand.of("fjord", CalendarsLinked))) == 1  # it still has the same calendars


# ── writing ──


def book(kind: CalendarKind, command: str = "c1") -> BookInCalendar:
    return BookInCalendar(
        calendar=kind,
        command=CommandId(command),
        request_id=RequestId(f"request-{command}"),
        starts_at=NINE + timedelta(hours=1),
        ends_at=NINE + timedelta(hours=2),
        title="Booked",
        organizer=None,
    )


async def test_a_room_is_booked_extended_and_released_as_the_resource(stand: Stand):
    stand.add_microsoft("fjord")
    stand.microsoft.roles |= READ_WRITE
    async with stand.running(microsoft=stand.microsoft_account(writes=True)) as site:
        assert site.writes() == {MICROSOFT}
        await stand.until(lambda: stand.listed("fjord"))
        site.ask(FJORD, book(MICROSOFT))
        await stand.until(lambda: list(stand.of("fjord", CalendarOrderTaken)))
        (taken,) = stand.of("fjord", CalendarOrderTaken)
        assert isinstance(taken, CalendarOrderTaken)
        assert taken.entry_id is not None
        await stand.until(lambda: stand.listed("fjord")[-1] == ["Booked"])
        later = NINE + timedelta(hours=3)
        site.ask(
            FJORD,
            ExtendInCalendar(
                calendar=MICROSOFT, command=CommandId("c2"), entry_id=taken.entry_id, ends_at=later
            ),
        )
        await stand.until(lambda: len(list(stand.of("fjord", CalendarOrderTaken))) == 2)
        site.ask(
            FJORD,
            ReleaseInCalendar(calendar=MICROSOFT, command=CommandId("c3"), entry_id=taken.entry_id),
        )
        await stand.until(lambda: len(list(stand.of("fjord", CalendarOrderTaken))) == 3)
        await stand.until(lambda: stand.listed("fjord")[-1] == [])


async def refused(stand: Stand, count: int = 1) -> list[CalendarOrderRefused]:
    await stand.until(lambda: len(list(stand.of("fjord", CalendarOrderRefused))) >= count)
    return [
        each for each in stand.of("fjord", CalendarOrderRefused) if isinstance(each, CalendarOrderRefused)
    ]


async def test_what_cannot_be_written_is_refused_with_why(stand: Stand):
    stand.add_google("fjord")
    async with stand.running(google=stand.google_account(Writing.PATCH)) as site:
        await stand.until(lambda: stand.listed("fjord"))
        site.ask(FJORD, book(GOOGLE))
        (off,) = await refused(stand)
        assert off.command == "c1"
        assert "switch on insert" in off.why
        site.ask(FJORD, book(MICROSOFT, "c2"))
        site.ask(
            FJORD,
            ExtendInCalendar(
                calendar=GOOGLE, command=CommandId("c3"), entry_id=EntryId("nobody"), ends_at=NINE
            ),
        )
        answers = {each.command: each.why for each in await refused(stand, 3)}
        assert "no microsoft account" in answers[CommandId("c2")]
        assert answers[CommandId("c3")]


async def test_an_order_while_consent_is_gone_is_refused_with_the_mend(stand: Stand):
    stand.add_microsoft("fjord")
    refuse(stand, 400, "unauthorized_client", 700016)
    async with stand.running(microsoft=stand.microsoft_account(writes=True)) as site:
        await stand.until(lambda: stand.phases("fjord")[-1:] == [CalendarPhase.REVOKED], minutes=20)
        site.ask(FJORD, book(MICROSOFT))
        (answer,) = await refused(stand)
        assert "roomd calendars connect microsoft" in answer.why


async def test_an_order_that_is_under_way_when_roomd_stops_is_not_said_to_have_failed(stand: Stand):
    stand.add_microsoft("fjord")
    stand.microsoft.roles |= READ_WRITE
    async with stand.running(microsoft=stand.microsoft_account(writes=True)) as site:
        await stand.until(lambda: stand.listed("fjord"))
        stand.microsoft_service.interrupt = lambda request: (
            SILENCE if request.path.endswith("/events") else None
        )
        site.ask(FJORD, book(MICROSOFT))
        await stand.still()
    assert not list(stand.of("fjord", CalendarOrderRefused))  # perhaps it was done: a listing will show it


# ── pushes ──


async def test_what_is_pushed_is_listed_at_once_and_what_is_not_in_time(stand: Stand):
    stand.add_microsoft("fjord")
    stand.add_google("lake")
    hearing: dict[Service, Hears] = {}
    async with opened(hearing) as door, stand.google.running():
        context = door.proxy.client_context()
        stand.microsoft.receiver = stand.google.hook_context = context
        async with stand.running(
            microsoft=stand.microsoft_account(),
            google=stand.google_account(),
            push=PushDoor(host="127.0.0.1", port=0, url=door.at),
        ) as site:
            hearing |= site.watches
            await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
            await stand.until(
                lambda: (
                    stand.room_view(Service.MICROSOFT, "fjord").pushed
                    and stand.room_view(Service.GOOGLE, "lake").pushed
                )
            )
            await stand.go_on(minutes=1)
            stand.meet_at_microsoft("fjord", "Budget")
            await stand.microsoft.notify("fjord@contoso.example", times=30)
            stand.meet_at_google("lake", "Planning")
            await stand.until(lambda: stand.listed("fjord")[-1] == ["Budget"], seconds=12)
            await stand.until(lambda: stand.listed("lake")[-1] == ["Planning"], seconds=12)
            fjord = len(stand.listed("fjord"))
            await stand.go_on(minutes=17)
            assert len(stand.listed("fjord")) == fjord
            await stand.go_on(minutes=9)
            assert len(stand.listed("fjord")) == fjord + 1


# ── the clock jumps ──


@pytest.mark.parametrize("by", [timedelta(days=-1), timedelta(days=1)], ids=["back", "ahead"])
@pytest.mark.parametrize("service", [Service.MICROSOFT, Service.GOOGLE])
async def test_a_clock_that_jumps_delays_no_listing(stand: Stand, service: Service, by: timedelta):
    if service is Service.MICROSOFT:
        stand.add_microsoft("fjord")
        running = stand.running(microsoft=stand.microsoft_account())
    else:
        stand.add_google("fjord")
        running = stand.running(google=stand.google_account())
    async with running as site:
        await stand.until(lambda: stand.listed("fjord"))
        stand.clock.at += by
        site.stepped(by)
        await stand.until(lambda: len(stand.listed("fjord")) > 1, minutes=16)
