"""A site's Webex as the daemon runs it: activation, restarts, revocation, rooms and Hybrid Calendars."""

import asyncio
import contextlib
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.core.model import CalendarPhase, RoomId
from cloud_link.calendars.integration import SECOND_LOOK, Service
from cloud_link.calendars.matching import Ground
from cloud_link.calendars.views import RoomView
from cloud_link.calendars.webex_access import RenewalPace
from cloud_link.calendars.webex_grant import GRANT, REVOKED, GrantDamaged, GrantFile, GrantUnread
from cloud_link.calendars.webex_rooms import HybridPhase, Tree
from tests.cloud_link.calendars.webex_house import HASTY, Living, living, rooms_of
from tests.clouds.serving import CUT
from tests.clouds.webex import WebexCloud

MORTAL = Path(__file__).parent / "webex_site_mortal.py"
ROOT = Path(__file__).parents[3]
FJORD = RoomId("fjord")
MICROSOFT = {"type": "microsoft", "emailAddress": "fjord@contoso.com"}


@pytest.fixture
async def cloud() -> AsyncIterator[WebexCloud]:
    async with WebexCloud(poll_within_s=5.0) as cloud:
        yield cloud


def grant(directory: Path) -> dict[str, str]:
    kept: dict[str, str] = json.loads((directory / "state" / GRANT).read_text())
    return kept


def room_of(here: Living, room: str = "fjord") -> RoomView:
    return next(each for each in here.site.view().rooms if each.room == room)


# ── activation, and what is kept ──────────────────────────────────────────────────────────────────


async def test_an_activation_code_is_all_it_takes(cloud, tmp_path):
    fjord = cloud.add_workspace("Fjord", calendar=MICROSOFT)
    async with living(cloud, tmp_path, rooms_of("Fjord")) as here:
        await here.until(lambda: room_of(here).phase is CalendarPhase.ACTIVE)
        view = here.site.view()
        assert (view.service, view.why, view.doubts, view.others) == (Service.WEBEX, None, (), ())
        room = room_of(here)
        assert (room.address, room.ground, room.why, room.pushed) == (fjord, Ground.NAME, None, True)
        assert room.listed_at is not None
        assert here.site.linked_workspaces == {"fjord": fjord}
        await here.until(lambda: cloud.app.get("operationalState") == "operational")
        assert (cloud.app["provisioningState"], cloud.app["queue"]) == ("completed", {"state": "enabled"})
        assert here.phases() == [CalendarPhase.ACTIVE]


async def test_the_grant_is_kept_for_its_owner_alone_before_it_is_used(cloud, tmp_path):
    async with living(cloud, tmp_path):
        file = tmp_path / "state" / GRANT
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert grant(tmp_path)["refresh_token"] == cloud.refresh_token
        assert cloud.refresh_token not in repr(GrantFile(tmp_path / "state").read())
        assert list((tmp_path / "state").iterdir()) == [file]


async def test_a_restart_needs_no_code_any_more(cloud, tmp_path):
    async with living(cloud, tmp_path):
        pass
    (tmp_path / "activation-code").write_text("")
    cloud.seen.clear()
    async with living(cloud, tmp_path):
        assert not cloud.asked("GET", "/jwks")
        assert grant(tmp_path)["refresh_token"] == cloud.refresh_token
    (tmp_path / "activation-code").write_text("something that is no code")
    with capture_logs() as logs:
        async with living(cloud, tmp_path):
            pass
    assert "webex.code_not_taken" in [each["event"] for each in logs]


async def test_a_kept_code_that_has_lapsed_is_not_read_again(cloud, tmp_path):
    async with living(cloud, tmp_path):
        pass
    async with living(cloud, tmp_path, until=None) as here:
        here.later = timedelta(days=30)
        await here.until_phase(CalendarPhase.ACTIVE)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_between_the_answer_and_its_use_costs_nothing_that_was_kept(cloud, tmp_path, when):
    """Killed after the new token is on disk all goes on; before it, where Webex forgives, too."""
    async with living(cloud, tmp_path):
        pass
    cloud.faults.forgives = when == "before"
    before = grant(tmp_path)["refresh_token"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(MORTAL),
        when,
        str(tmp_path),
        cloud.client_id,
        cloud.key_url,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    async with asyncio.timeout(30):
        assert await process.wait() == -9
    assert (grant(tmp_path)["refresh_token"] == before) is (when == "before")
    assert (grant(tmp_path)["refresh_token"] == cloud.refresh_token) is (when == "after")
    async with living(cloud, tmp_path):
        assert grant(tmp_path)["refresh_token"] == cloud.refresh_token


async def test_a_grant_that_is_damaged_is_said_and_no_old_code_is_tried(cloud, tmp_path):
    async with living(cloud, tmp_path):
        pass
    file = tmp_path / "state" / GRANT
    file.write_text(file.read_text()[:-20])
    asked = len(cloud.seen)
    async with living(cloud, tmp_path, until=CalendarPhase.CREDENTIAL) as here:
        assert f"the grant of Webex is damaged: {file}" in (here.site.view().why or "")
        assert "activate the integration in Control Hub again" in (here.site.view().why or "")
        assert len(cloud.seen) == asked
        cloud.refresh_token = "of another activation"
        (tmp_path / "activation-code").write_text(cloud.sign(cloud.activation()))
        await here.until_phase(CalendarPhase.ACTIVE)
        assert grant(tmp_path)["refresh_token"] == cloud.refresh_token


async def test_a_grant_that_may_not_be_read_is_no_missing_grant(cloud, tmp_path):
    async with living(cloud, tmp_path):
        pass
    file = tmp_path / "state" / GRANT
    file.rename(kept := tmp_path / "kept")
    file.mkdir()
    asked = len(cloud.seen)
    async with living(cloud, tmp_path, until=CalendarPhase.CREDENTIAL) as here:
        assert "cannot be read" in (here.site.view().why or "")
        assert "let the user roomd read" in (here.site.view().why or "")
        assert len(cloud.seen) == asked
        file.rmdir()
        kept.rename(file)
        here.later = timedelta(hours=1)
        await here.until_phase(CalendarPhase.ACTIVE)


def test_what_is_kept_is_absent_or_unread_or_damaged(tmp_path):
    file = GrantFile(tmp_path / "state")
    assert (file.read(), file.revoked()) == (None, None)
    (tmp_path / "state" / REVOKED).mkdir(parents=True)
    (tmp_path / "state" / GRANT).write_text('{"refresh_token": "s3cret"}')
    with pytest.raises(GrantDamaged) as damaged:
        file.read()
    with pytest.raises(GrantUnread, match="Is a directory"):
        file.revoked()
    assert "s3cret" not in f"{damaged.value!r}{damaged.value.__cause__!r}"


RENEWING = replace(HASTY, renewal=RenewalPace(every_s=0.0))  # whenever access is used


async def test_a_renewal_that_a_stop_finds_under_way_is_kept(cloud, tmp_path):
    device = cloud.add_device(cloud.add_workspace("Fjord"))
    async with asyncio.TaskGroup() as tasks:
        async with living(cloud, tmp_path, pace=RENEWING) as here:
            await here.site.until_heard()
            await here.until(lambda: grant(tmp_path)["refresh_token"] == cloud.refresh_token)
            arrives = cloud.faults.token_held = asyncio.Event()
            before = cloud.refresh_token
            asking = tasks.create_task(here.site.status(device, ["RoomAnalytics.*"]))
            await here.until(lambda: cloud.refresh_token != before)
            asking.cancel()
            asyncio.get_running_loop().call_later(0.05, arrives.set)
        assert grant(tmp_path)["refresh_token"] == cloud.refresh_token


async def test_access_that_is_not_renewed_is_said_long_before_it_lapses(cloud, tmp_path):
    with capture_logs() as logs:
        async with living(cloud, tmp_path, pace=RENEWING) as here:
            cloud.faults.token_refusal = HTTPStatus.UNAUTHORIZED, {"message": "invalid_client"}
            await cloud.say(cloud.health_check())
            await here.until(lambda: "does not renew our access" in (here.site.view().why or ""))
            assert "bring the client id and secret" in (here.site.view().why or "")
            assert here.site.view().phase is CalendarPhase.ACTIVE
            asked = len(cloud.asked("POST", "/v1/access_token"))
            for _ in range(5):
                await cloud.say(cloud.health_check())
                await here.until(lambda: not cloud.waiting and cloud.polling)
            await here.until(lambda: cloud.app.get("operationalState") == "token_invalid")
            assert len(cloud.asked("POST", "/v1/access_token")) == asked
    assert [each["event"] for each in logs].count("webex.not_renewed") == 1


async def test_what_the_integration_may_is_kept_with_its_grant(cloud, tmp_path):
    async with living(cloud, tmp_path) as here:
        cloud.manifest["commands"] = ["Bookings.*", "Standby.Deactivate"]
        await cloud.say(cloud.action("updateApproved", manifestVersion=2))
        await here.until(lambda: "Standby.Deactivate" in (tmp_path / "state" / GRANT).read_text())
        kept = GrantFile(tmp_path / "state").read()
        assert kept is not None
        assert kept.activation.access.commands == ("Bookings.*", "Standby.Deactivate")
        assert kept.refresh_token == cloud.refresh_token


async def test_nothing_is_used_that_could_not_be_kept(cloud, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "webex-grant.new").mkdir()  # nothing can be written there
    async with living(cloud, tmp_path, until=None) as here:
        await here.until(lambda: "cannot be kept" in (here.site.view().why or ""))
        assert not cloud.asked("POST", "/v1/access_token")
        assert cloud.refresh_token not in (here.site.view().why or "")
        (state / "webex-grant.new").rmdir()
        here.later = timedelta(minutes=20)
        await here.until_phase(CalendarPhase.ACTIVE)


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("activation-code", "no code", "not an activation code"),
        ("activation-code", "", "no activation code"),
        ("secret", "", "is empty"),
        ("secret", "another", "does not renew our access"),
    ],
)
async def test_what_an_operator_must_mend_is_said_and_mended_by_the_file_alone(
    cloud, tmp_path, file, content, why
):
    right = cloud.sign(cloud.activation()) if file == "activation-code" else cloud.client_secret
    async with living(cloud, tmp_path, until=None) as here:
        (tmp_path / file).write_text(content)
        await here.until_phase(CalendarPhase.CREDENTIAL)
        assert why in (here.site.view().why or "")
        assert cloud.client_secret not in (here.site.view().why or "")
        (tmp_path / file).write_text(right)
        if file == "secret":
            here.later = timedelta(hours=1)
        await here.until_phase(CalendarPhase.ACTIVE)


async def test_another_code_is_taken_while_we_run(cloud, tmp_path):
    async with living(cloud, tmp_path) as here:
        cloud.refresh_token = "of another activation"
        (tmp_path / "activation-code").write_text(cloud.sign(cloud.activation()))
        asked = len(cloud.asked("GET", "/jwks"))
        await here.until(lambda: len(cloud.asked("GET", "/jwks")) > asked and cloud.polling)
        await here.until(lambda: grant(tmp_path)["refresh_token"] == cloud.refresh_token)
        assert here.site.view().phase is CalendarPhase.ACTIVE


async def test_an_activation_that_webex_tells_of_is_kept_and_used(cloud, tmp_path):
    async with living(cloud, tmp_path) as here:
        cloud.refresh_token = "of another activation"
        again = cloud.activation()
        await cloud.say(cloud.action("provision", **again))
        await here.until(lambda: "of another" not in cloud.refresh_token)
        await here.until(lambda: grant(tmp_path)["refresh_token"] == cloud.refresh_token)
        # and the same as a code changes nothing, as its own refresh token is of the past
        (tmp_path / "activation-code").write_text(cloud.sign(again))
        asked = len(cloud.asked("GET", "/jwks"))
        await here.until(lambda: len(cloud.asked("GET", "/jwks")) > asked)
        await here.until_phase(CalendarPhase.ACTIVE)
    async with living(cloud, tmp_path) as here:
        assert grant(tmp_path)["refresh_token"] == cloud.refresh_token


async def taken_out_of_use(here: Living) -> None:
    """By an administrator, in Control Hub."""
    await here.until(lambda: here.cloud.polling)
    await here.cloud.say(here.cloud.action("deprovision"))
    await here.until_phase(CalendarPhase.REVOKED)
    here.cloud.faults.gone = True


# ── taken back ────────────────────────────────────────────────────────────────────────────────────


async def test_who_is_taken_out_of_use_is_revoked_and_wiped_at_once(cloud, tmp_path):
    cloud.add_workspace("Fjord")
    async with living(cloud, tmp_path, rooms_of("Fjord")) as here:
        await taken_out_of_use(here)
        await here.until(lambda: not (tmp_path / "state" / GRANT).exists())
        assert cloud.refresh_token not in (tmp_path / "state" / REVOKED).read_text()
        view = here.site.view()
        assert "an administrator took the integration out of use" in (view.why or "")
        await here.until(lambda: here.phases() == [CalendarPhase.ACTIVE, CalendarPhase.REVOKED])
        assert here.site.hybrid == {}
        assert room_of(here).phase is CalendarPhase.REVOKED
    asked = len(cloud.seen)
    async with living(cloud, tmp_path, rooms_of("Fjord"), until=CalendarPhase.REVOKED) as here:
        await asyncio.sleep(0.1)
        assert len(cloud.seen) == asked
        assert "out of use" in (here.site.view().why or "")


async def test_a_new_code_is_consent_also_if_it_came_while_we_were_away(cloud, tmp_path):
    async with living(cloud, tmp_path) as here:
        await taken_out_of_use(here)
        cloud.faults.gone = False
        cloud.refresh_token = "given again"
        (tmp_path / "activation-code").write_text(cloud.sign(cloud.activation()))
        await here.until_phase(CalendarPhase.ACTIVE)
        assert not (tmp_path / "state" / REVOKED).exists()
        await taken_out_of_use(here)
    cloud.faults.gone = False
    cloud.refresh_token = "and once more"
    (tmp_path / "activation-code").write_text(cloud.sign(cloud.activation()))
    async with living(cloud, tmp_path):
        pass


async def test_a_refused_renewal_is_looked_at_twice_before_all_is_forgotten(cloud, tmp_path):
    async with living(cloud, tmp_path):
        pass
    cloud.faults.token_refusal = HTTPStatus.BAD_REQUEST, {"message": "invalid_grant"}
    async with living(cloud, tmp_path, until=CalendarPhase.DEGRADED) as here:
        assert (tmp_path / "state" / GRANT).exists()
        here.later = SECOND_LOOK * 2
        await here.until_phase(CalendarPhase.REVOKED)
        await here.until(lambda: not (tmp_path / "state" / GRANT).exists())
        cloud.faults.token_refusal = None
        cloud.refresh_token = "first-refresh-token"
        assert not await here.site.consent(Service.GOOGLE)
        assert await here.site.consent(Service.WEBEX)  # the code is still good
        await here.until_phase(CalendarPhase.ACTIVE)


async def test_a_doubt_that_was_none_passes(cloud, tmp_path):
    async with living(cloud, tmp_path):
        pass
    cloud.faults.token_refusal = HTTPStatus.BAD_REQUEST, {"message": "invalid_grant"}
    async with living(cloud, tmp_path, until=CalendarPhase.DEGRADED) as here:
        cloud.faults.token_refusal = None
        here.later = SECOND_LOOK * 2
        await here.until_phase(CalendarPhase.ACTIVE)


# ── the queue, and health ─────────────────────────────────────────────────────────────────────────


async def test_webex_out_of_reach_degrades_and_comes_back(cloud, tmp_path):
    async with living(cloud, tmp_path) as here:
        cloud.interrupt = lambda request: CUT
        await cloud.say(cloud.health_check())
        await here.until_phase(CalendarPhase.DEGRADED)
        assert "broke" in (here.site.view().why or "")
        cloud.interrupt = lambda request: None
        await cloud.say(cloud.health_check())
        await here.until_phase(CalendarPhase.ACTIVE)
        assert here.phases() == [CalendarPhase.ACTIVE, CalendarPhase.DEGRADED, CalendarPhase.ACTIVE]


async def test_control_hub_is_told_how_we_are(cloud, tmp_path):
    cloud.manifest["commands"] = []
    async with living(cloud, tmp_path) as here:
        await here.until(lambda: cloud.app.get("operationalState") == "impaired")
        assert "the integration's manifest lacks xAPI command Bookings.List" in (here.site.view().why or "")
        cloud.manifest["commands"] = ["Bookings.*"]
        await cloud.say(cloud.action("updateApproved", manifestVersion=2))
        await here.until(lambda: cloud.app.get("operationalState") == "operational")
        assert here.site.view().why is None


# ── rooms ─────────────────────────────────────────────────────────────────────────────────────────


async def test_rooms_are_linked_by_hand_by_address_and_by_name_and_the_rest_is_for_a_person(cloud, tmp_path):
    board = cloud.add_workspace("The board's own", calendar=None)
    fjord = cloud.add_workspace("Oslo 2nd floor west", calendar=MICROSOFT)
    skagen = cloud.add_workspace("Skagen")
    twins = [cloud.add_workspace("Vidda"), cloud.add_workspace("Vidda")]
    stray = cloud.add_workspace("Canteen")
    by_name = rooms_of("Board room", "Fjord", "Skagen", "Vidda", "Nowhere", "Left", "Lobby")
    by_hand = [
        {"webex": board},
        {"microsoft": "Fjord@contoso.com"},
        {},
        {},
        {"webex": "no such id"},
        {"left_out": frozenset({Service.WEBEX})},
        {},
    ]
    rooms = [replace(room, **more) for room, more in zip(by_name, by_hand, strict=True)]
    async with living(cloud, tmp_path, rooms) as here:
        await here.until(lambda: room_of(here).phase is CalendarPhase.ACTIVE)
        found = {each.room: (each.address, each.ground) for each in here.site.view().rooms}
        assert found == {
            "board-room": (board, Ground.BY_HAND),
            "fjord": (fjord, Ground.ADDRESS),
            "skagen": (skagen, Ground.NAME),
            "vidda": (None, None),
            "nowhere": (None, None),
            "left": (None, Ground.BY_HAND),
            "lobby": (None, None),
        }
        doubts = {each.one: each for each in here.site.view().doubts}
        assert doubts.keys() == {"vidda", "nowhere"}
        assert {each.other for each in doubts["vidda"].candidates} == set(twins)
        assert {each.id for each in here.site.view().others} == {*twins, stray}
        assert room_of(here, "nowhere").phase is CalendarPhase.DEGRADED
        assert "Control Hub has no workspace no such id" in (room_of(here, "nowhere").why or "")
        assert "roomd link" in (room_of(here, "lobby").why or "")
        assert room_of(here, "left").why is None


async def test_a_workspace_that_comes_later_is_found_the_next_day_or_on_a_hint(cloud, tmp_path):
    async with living(cloud, tmp_path, rooms_of("Fjord", "Skagen")) as here:
        listed = len(cloud.asked("GET", "/v1/workspaces"))
        cloud.add_workspace("Skagen")
        here.later = timedelta(hours=31)
        await here.until(lambda: "skagen" in here.site.linked_workspaces)
        fjord = cloud.add_workspace("Fjord")
        new = cloud.add_device(fjord)
        await cloud.say(cloud.event(new, "Bookings.Start", {"Id": "1"}))
        await here.until(lambda: "fjord" in here.site.linked_workspaces)
        assert len(cloud.asked("GET", "/v1/workspaces")) <= listed + 3


async def test_a_device_that_control_hub_has_in_another_workspace_is_said(cloud, tmp_path):
    fjord, skagen = cloud.add_workspace("Fjord"), cloud.add_workspace("Skagen")
    bar, board = cloud.add_device(fjord), cloud.add_device(skagen)
    rooms = {bar: FJORD, cloud.devices[board]["serial"]: FJORD, "not in Webex": FJORD}
    with capture_logs() as logs:
        async with living(cloud, tmp_path, rooms_of("Fjord", "Skagen"), devices=rooms) as here:
            await here.until(lambda: "in workspace Skagen" in (room_of(here).why or ""))
            assert room_of(here).phase is CalendarPhase.ACTIVE
            assert room_of(here, "skagen").why is None
            cloud.devices[board]["workspaceId"] = fjord
            here.later = timedelta(hours=2)
            await here.until(lambda: room_of(here).why is None)
            cloud.devices[bar]["workspaceId"] = None
            here.later = timedelta(hours=4)
            await here.until(lambda: "in no workspace" in (room_of(here).why or ""))
    said = [each["event"] for each in logs]
    assert said.count("webex.device_moved") == 2


class Deaf:
    """Somebody who follows a device, and does not listen."""

    def heard(self, tree: Tree) -> None: ...

    def missed(self, why: str, *, again: bool) -> None: ...


async def test_a_device_is_followed_once_whatever_the_file_calls_it(cloud, tmp_path):
    bar = cloud.add_device(cloud.add_workspace("Fjord"))
    serial = cloud.devices[bar]["serial"]
    async with living(cloud, tmp_path, rooms_of("Fjord")) as here:
        await here.site.until_heard()
        with here.site.follow(bar, Deaf()):
            for named in (bar, serial):
                with (
                    pytest.raises(LookupError, match="another device of the file is Webex's device"),
                    here.site.follow(named, Deaf()),
                ):
                    pass
        with here.site.follow(serial, Deaf()) as known_as:
            assert known_as == bar


async def test_a_directory_that_fails_once_is_read_again(cloud, tmp_path):
    cloud.faults.failures.append(("/v1/workspaces", HTTPStatus.BAD_GATEWAY))
    async with living(cloud, tmp_path, rooms_of("Fjord"), until=None) as here:
        await here.until(lambda: "failed (502; tracking id ROUTER_" in (here.site.view().why or ""))
        here.later = timedelta(hours=1)
        await here.until_phase(CalendarPhase.ACTIVE)
        assert here.site.view().why is None


# ── Hybrid Calendars ──────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def listing(cloud: WebexCloud, *bookings: dict[str, str]) -> Iterator[None]:
    cloud.commands["Bookings.List"] = lambda *_: {"Booking": list(bookings)} if bookings else {}
    yield


async def test_a_hybrid_calendar_lives_once_a_device_shows_its_bookings(cloud, tmp_path):
    fjord = cloud.add_workspace("Fjord", calendar=MICROSOFT)
    device = cloud.add_device(fjord)
    with listing(cloud):
        async with living(cloud, tmp_path, rooms_of("Fjord")) as here:
            await here.until(lambda: here.site.hybrid)
            judged = here.site.hybrid[FJORD]
            assert (judged.phase, judged.address) == (HybridPhase.CONFIGURED, "fjord@contoso.com")
            assert "nothing is booked today" in judged.why
            with listing(cloud, {"Id": "webex-17", "BookingStatus": "OK"}):
                await cloud.say(cloud.event(device, "Bookings.Start", {"Id": "webex-17"}))
                await here.until(lambda: here.site.hybrid[FJORD].phase is HybridPhase.LIVING)


async def test_hybrid_calendars_are_looked_at_again_every_hour_and_when_control_hub_changes(cloud, tmp_path):
    fjord = cloud.add_workspace("Fjord")
    async with living(cloud, tmp_path, rooms_of("Fjord")) as here:
        await here.until(lambda: here.site.hybrid)
        judged = here.site.hybrid[FJORD]
        assert judged.phase is HybridPhase.NONE
        assert judged.mend is not None
        assert "Scheduling" in judged.mend
        cloud.workspaces[fjord]["calendar"] = MICROSOFT
        here.later += timedelta(days=2)
        await here.until(lambda: here.site.hybrid[FJORD].phase is HybridPhase.CONFIGURED)
        assert "no device to show its bookings" in here.site.hybrid[FJORD].why
        device = cloud.add_device(fjord, connected="disconnected")
        here.later += timedelta(hours=2)
        await here.until(lambda: "is connected since" in here.site.hybrid[FJORD].why)
        cloud.devices[device]["connectionStatus"] = "connected"
        trouble = {"Id": "1", "BookingStatus": "Error", "BookingStatusMessage": "no access to the mailbox"}
        with listing(cloud, trouble):
            here.later += timedelta(hours=2)
            await here.until(lambda: here.site.hybrid[FJORD].phase is HybridPhase.FAILING)
        assert "no access to the mailbox" in here.site.hybrid[FJORD].why


@pytest.mark.slow
async def test_a_thousand_rooms_cost_a_few_pages_and_one_question_each(tmp_path):
    names = [f"Room {number}" for number in range(1, 1001)]
    async with WebexCloud(poll_within_s=30.0, page=1000) as cloud:
        for name in names:
            address = f"{name.replace(' ', '').lower()}@contoso.com"
            cloud.add_device(
                cloud.add_workspace(name, calendar={"type": "microsoft", "emailAddress": address})
            )
        with listing(cloud, {"Id": "webex-17", "BookingStatus": "OK"}):
            async with living(cloud, tmp_path, rooms_of(*names)) as here:
                await here.until(lambda: len(here.site.hybrid) == 1000, within_s=50)
                assert {each.phase for each in here.site.hybrid.values()} == {HybridPhase.LIVING}
                assert here.site.view().doubts == ()
        assert len(cloud.asked("GET", "/v1/workspaces")) == len(cloud.asked("GET", "/v1/devices")) == 2
        assert len(cloud.asked("POST", "/v1/xapi/command/Bookings.List")) == 1000
        assert cloud.concurrency.most["rest"] <= 2


async def test_a_room_that_cannot_be_asked_for_now_keeps_what_was_known_of_it(cloud, tmp_path):
    cloud.add_device(cloud.add_workspace("Fjord", calendar=MICROSOFT))
    with listing(cloud, {"Id": "webex-17", "BookingStatus": "OK"}):
        async with living(cloud, tmp_path, rooms_of("Fjord")) as here:
            await here.until(lambda: here.site.hybrid)
            cloud.faults.slow_down.append(
                ("/v1/xapi/command/Bookings.List", HTTPStatus.TOO_MANY_REQUESTS, 300)
            )
            here.later = timedelta(hours=2)
            await here.until(lambda: not cloud.faults.slow_down)
            assert here.site.hybrid[FJORD].phase is HybridPhase.LIVING
            assert here.site.view().phase is CalendarPhase.ACTIVE
            assert cloud.rests.broken == []


async def test_nothing_secret_is_in_a_log_or_a_view(cloud, tmp_path):
    with capture_logs() as logs:
        async with living(cloud, tmp_path, rooms_of("Fjord"), pace=HASTY) as here:
            first = cloud.refresh_token
            cloud.faults.failures.append(("/v1/access_token", HTTPStatus.BAD_GATEWAY))
            await cloud.say(cloud.action("update", refreshToken="given-by-an-update"))
            await here.until(lambda: grant(tmp_path)["refresh_token"] == "given-by-an-update")
            shown = f"{here.site.view()!r} {here.told!r} {logs!r}"
    for secret in (first, "given-by-an-update", cloud.client_secret, "access-", "/poll"):
        assert secret not in shown
