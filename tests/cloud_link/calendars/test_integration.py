"""The life of an integration: what is only a disturbance, what a person must mend, and when all is wiped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.model import CalendarPhase, RoomId
from cloud_link.calendars import errors, hints, integration
from cloud_link.calendars.integration import (
    INTEGRATION_TRANSITIONS,
    READING,
    ROOM_TRANSITIONS,
    SECOND_LOOK,
    USED,
    Deed,
    Door,
    Integration,
    Outcome,
    Phase,
    Probe,
    RoomPhase,
    Said,
    Service,
    Sign,
    Tell,
    Turned,
)

NINE = datetime(2026, 1, 14, 9, tzinfo=UTC)
ROOMS = tuple(RoomId(f"room-{number}") for number in range(20))
FJORD = ROOMS[0]
TOKEN, DIRECTORY = Door.TOKEN, Door.DIRECTORY


class Story:
    """An integration to which things are said, minute by minute."""

    def __init__(self, *, rooms: Iterable[RoomId] = ROOMS, service: Service = Service.MICROSOFT) -> None:
        self.it: Integration = integration.begin(service, rooms, NINE)
        self.deeds: list[Deed] = []
        self.tells: list[Tell] = []

    def at(self, minute: float, whom: Door | RoomId, outcome: Outcome, **more: object) -> Story:
        """Somebody says something so many minutes after nine."""
        said = replace(Said(outcome=outcome, at=NINE + timedelta(minutes=minute)), **more)  # type: ignore[arg-type]
        return self._turn(say(self.it, whom, said))

    def all_rooms(self, minute: float, outcome: Outcome) -> Story:
        """Each room says the same."""
        for room in self.it.rooms:
            self.at(minute, room, outcome)
        return self

    def consented(self, minute: float) -> Story:
        """An administrator consents."""
        return self._turn(integration.consented(self.it, NINE + timedelta(minutes=minute)))

    def _turn(self, turned: Turned) -> Story:
        self.it = turned.integration
        self.deeds += turned.deeds
        self.tells += turned.tells
        return self

    def phase(self) -> Phase:
        """Where it is now."""
        return self.it.phase

    def active(self) -> Story:
        """From the start to where everything is read."""
        self.at(0, TOKEN, Outcome.ANSWERED).at(0, DIRECTORY, Outcome.ANSWERED).all_rooms(0, Outcome.ANSWERED)
        assert self.phase() is Phase.ACTIVE
        assert self.deeds == [Deed.USE]
        self.deeds.clear()
        self.tells.clear()
        return self


def say(it: Integration, whom: Door | RoomId, said: Said) -> Turned:
    if whom is Door.TOKEN:
        return integration.token_said(it, said)
    if whom is Door.DIRECTORY:
        return integration.directory_said(it, said)
    return integration.room_said(it, RoomId(whom), said)


def resting(it: Integration) -> dict[RoomId, datetime]:
    """Until when rooms are left alone, for those that are."""
    times = {room: integration.not_before(it, room) for room in it.rooms}
    return {room: at for room, at in times.items() if at is not None}


# ── consent ──


def test_consent_refused_once_stops_and_a_second_time_some_minutes_later_wipes():
    story = Story().active().at(10, TOKEN, Outcome.REVOKED, why="AADSTS700016")
    assert story.phase() is Phase.DOUBTED
    assert story.deeds == [Deed.STOP]
    story.at(16, TOKEN, Outcome.REVOKED, why="AADSTS700016")
    assert story.phase() is Phase.REVOKED
    assert story.deeds == [Deed.STOP, Deed.WIPE]
    last = story.tells[-1]
    assert last.phase is CalendarPhase.REVOKED
    assert last.why is not None
    assert "consent again" in last.why


def test_refusals_that_come_together_are_one():
    story = Story().active()
    for minute in (10, 10.1, 12, 14.9):
        story.at(minute, TOKEN, Outcome.REVOKED)
    assert story.phase() is Phase.DOUBTED
    assert integration.next_probe(story.it) is not None
    probe_at = integration.next_probe(story.it)
    assert probe_at is not None
    assert NINE + timedelta(minutes=15) <= probe_at <= NINE + timedelta(minutes=16)
    assert integration.probes(story.it, probe_at) == (Probe(door=TOKEN),)
    assert integration.probes(story.it, probe_at - timedelta(seconds=1)) == ()


def test_a_consent_that_has_not_got_about_yet_is_not_revoked():
    story = (
        Story().at(0, TOKEN, Outcome.REVOKED).at(6, TOKEN, Outcome.ANSWERED).at(6, FJORD, Outcome.ANSWERED)
    )
    assert story.phase() is Phase.ACTIVE
    assert story.deeds == [Deed.USE]
    story.at(60, TOKEN, Outcome.REVOKED)
    assert story.phase() is Phase.DOUBTED  # the first time, again


def test_an_old_token_that_still_works_does_not_settle_the_doubt():
    story = Story().active().at(10, TOKEN, Outcome.REVOKED).at(12, FJORD, Outcome.ANSWERED)
    assert story.phase() is Phase.DOUBTED
    story.at(15.5, TOKEN, Outcome.REVOKED)
    assert story.phase() is Phase.REVOKED


def test_while_the_token_is_refused_what_rooms_say_decides_nothing():
    story = Story().active().at(10, TOKEN, Outcome.REVOKED)
    story.at(11, DIRECTORY, Outcome.DENIED).all_rooms(11, Outcome.DENIED)
    assert story.it.since == NINE + timedelta(minutes=10)
    assert integration.probes(story.it, NINE + timedelta(minutes=17)) == (Probe(door=TOKEN),)
    story.at(17, DIRECTORY, Outcome.DENIED).all_rooms(17, Outcome.DENIED)
    assert story.phase() is Phase.DOUBTED
    story.at(17, TOKEN, Outcome.ANSWERED)
    assert story.phase() is Phase.CONNECTING


def test_a_doubt_about_everything_gives_way_to_a_refused_token():
    story = Story(rooms=[FJORD]).active().at(10, FJORD, Outcome.DENIED).at(10, DIRECTORY, Outcome.DENIED)
    story.at(14, TOKEN, Outcome.REVOKED)
    assert story.phase() is Phase.DOUBTED
    story.at(16, TOKEN, Outcome.REVOKED)  # the first time of this one was two minutes ago
    assert story.phase() is Phase.DOUBTED
    story.at(19, TOKEN, Outcome.REVOKED)
    assert story.phase() is Phase.REVOKED


def test_the_start_is_a_good_one_unless_it_was_revoked_before():
    fresh = integration.begin(Service.GOOGLE, ROOMS, NINE)
    assert (fresh.phase, fresh.outcome) == (Phase.CONNECTING, None)
    off = integration.begin(Service.GOOGLE, ROOMS, NINE, revoked="delegation is gone")
    assert (off.phase, off.outcome) == (Phase.REVOKED, Outcome.REVOKED)
    assert integration.standing(off, FJORD)[0] is CalendarPhase.REVOKED


def test_what_is_revoked_stays_off_until_somebody_consents():
    story = Story().active().at(10, TOKEN, Outcome.REVOKED).at(16, TOKEN, Outcome.REVOKED)
    story.deeds.clear()
    for outcome in Outcome:
        for whom in (TOKEN, DIRECTORY, FJORD):
            story.at(30, whom, outcome)
    assert story.phase() is Phase.REVOKED
    assert story.deeds == []
    assert integration.next_probe(story.it) is None
    assert resting(story.it) == {}
    again = integration.begin(Service.MICROSOFT, ROOMS, NINE, revoked=integration.cause(story.it))
    assert again.phase is Phase.REVOKED
    assert integration.words(again) == integration.words(story.it)  # so that nobody is told twice
    story.consented(60)
    assert story.phase() is Phase.CONNECTING
    story.at(60, FJORD, Outcome.ANSWERED)
    assert story.phase() is Phase.ACTIVE
    assert story.deeds == [Deed.USE]


# ── rooms ──


def test_one_room_that_is_denied_is_that_rooms_trouble():
    story = (
        Story()
        .active()
        .at(10, FJORD, Outcome.DENIED, why="ErrorAccessDenied")
        .all_rooms(11, Outcome.ANSWERED)
    )
    story = Story().active().at(10, FJORD, Outcome.DENIED, why="ErrorAccessDenied")
    for _ in range(10):
        story.at(20, FJORD, Outcome.DENIED)
    assert story.phase() is Phase.ACTIVE
    assert story.deeds == []
    assert [(each.room, each.phase) for each in story.tells] == [(FJORD, CalendarPhase.DEGRADED)]
    assert story.tells[0].why is not None
    assert story.tells[0].why.startswith("ErrorAccessDenied; put the room's mailbox into the scope")
    assert integration.standing(story.it, ROOMS[1]) == (CalendarPhase.ACTIVE, None)
    assert set(resting(story.it)) == {FJORD}
    until = resting(story.it)[FJORD]
    assert until > NINE + timedelta(minutes=21)
    look = hints.Look(room=FJORD, since=NINE)
    assert hints.next_listing(look, not_before=integration.not_before(story.it, FJORD)) == until
    story.at(90, FJORD, Outcome.ANSWERED)
    assert integration.standing(story.it, FJORD) == (CalendarPhase.ACTIVE, None)
    assert resting(story.it) == {}


def test_nineteen_denied_of_twenty_is_not_everything():
    story = Story().active().at(10, DIRECTORY, Outcome.DENIED)
    for room in ROOMS[1:]:
        story.at(10, room, Outcome.DENIED).at(20, room, Outcome.DENIED)
    assert story.phase() is Phase.ACTIVE


def test_every_room_and_the_directory_denied_twice_is_revoked():
    story = Story().active().all_rooms(10, Outcome.DENIED)
    assert story.phase() is Phase.ACTIVE  # the directory has not said so
    story.at(11, DIRECTORY, Outcome.DENIED)
    assert story.phase() is Phase.DOUBTED
    assert story.deeds == [Deed.STOP]
    asked = integration.probes(story.it, NINE + timedelta(minutes=17.1))
    assert {probe.room for probe in asked} == {None, *ROOMS}
    story.all_rooms(17.1, Outcome.DENIED)
    assert story.phase() is Phase.DOUBTED
    story.at(17.1, DIRECTORY, Outcome.DENIED)
    assert story.phase() is Phase.REVOKED
    assert story.deeds == [Deed.STOP, Deed.WIPE]


def test_one_room_that_can_be_read_at_the_second_look_ends_the_doubt():
    story = Story().active().all_rooms(10, Outcome.DENIED).at(10, DIRECTORY, Outcome.DENIED)
    story.at(16, FJORD, Outcome.ANSWERED)
    assert story.phase() is Phase.ACTIVE
    assert story.deeds == [Deed.STOP, Deed.USE]


def test_rooms_that_do_not_exist_say_nothing_of_the_others():
    story = Story().active().at(9, FJORD, Outcome.UNKNOWN)
    for room in ROOMS[1:]:
        story.at(10, room, Outcome.DENIED)
    story.at(10, DIRECTORY, Outcome.DENIED)
    assert story.phase() is Phase.DOUBTED
    nowhere = Story(rooms=[]).at(0, DIRECTORY, Outcome.DENIED).at(10, DIRECTORY, Outcome.DENIED)
    assert nowhere.phase() is Phase.CONNECTING


def test_a_room_that_asks_for_time_gets_it_and_a_denied_one_stays_denied():
    story = Story().active().at(10, FJORD, Outcome.THROTTLED, retry_after_s=90.0)
    assert resting(story.it)[FJORD] == NINE + timedelta(minutes=10, seconds=90)
    assert story.it.rooms[FJORD].phase is RoomPhase.THROTTLED
    story.at(12, FJORD, Outcome.DENIED).at(20, FJORD, Outcome.THROTTLED, retry_after_s=1e12)
    assert story.it.rooms[FJORD].phase is RoomPhase.ACCESS_DENIED
    assert resting(story.it)[FJORD] == NINE + timedelta(days=1, minutes=20)


def test_a_room_that_stays_denied_is_asked_less_and_less_often():
    story, now, rests = Story().active(), 10.0, []
    for _ in range(8):
        story.at(now, FJORD, Outcome.DENIED)
        rests.append((resting(story.it)[FJORD] - NINE).total_seconds() / 60 - now)
        now += rests[-1]
    assert rests == pytest.approx([3.75, 7.5, 15, 30, 45, 45, 45, 45])


def test_in_a_doubt_each_is_asked_when_its_own_time_has_come():
    story = Story(rooms=ROOMS[:2]).active().all_rooms(10, Outcome.DENIED).at(10, DIRECTORY, Outcome.DENIED)
    second = integration.next_probe(story.it)
    assert second is not None
    story.at(17, DIRECTORY, Outcome.DENIED)
    assert integration.next_probe(story.it) == second  # the rooms have not said so again
    now = NINE + timedelta(minutes=17)
    assert {probe.door for probe in integration.probes(story.it, now)} == {Door.ROOM}


def test_a_room_that_was_never_read_is_still_connecting():
    story = Story().at(0, ROOMS[1], Outcome.ANSWERED)
    assert story.phase() is Phase.ACTIVE
    assert integration.standing(story.it, FJORD)[0] is CalendarPhase.CONNECTING
    story.at(0, FJORD, Outcome.ANSWERED)
    assert story.tells[-1] == Tell(room=FJORD, phase=CalendarPhase.ACTIVE, why=None)


def test_rooms_come_and_go_and_strangers_say_nothing():
    story = Story(rooms=[FJORD]).active()
    story.at(1, ROOMS[1], Outcome.DENIED)
    assert set(story.it.rooms) == {FJORD}
    both = integration.linked(story.it, [ROOMS[1], FJORD])
    assert both.rooms[FJORD] == story.it.rooms[FJORD]
    assert set(integration.linked(both, [ROOMS[1]]).rooms) == {ROOMS[1]}


def test_a_room_that_is_linked_during_a_doubt_can_end_it():
    story = Story(rooms=[FJORD]).active().at(1, FJORD, Outcome.DENIED).at(1, DIRECTORY, Outcome.DENIED)
    story.it = integration.linked(story.it, [FJORD, ROOMS[1]])
    assert Probe(door=Door.ROOM, room=ROOMS[1]) in integration.probes(story.it, NINE + timedelta(minutes=8))
    story.at(8, ROOMS[1], Outcome.ANSWERED)
    assert story.phase() is Phase.ACTIVE


# ── what a person must mend ──


@pytest.mark.parametrize(
    ("outcome", "phase", "told"),
    [
        (Outcome.CREDENTIAL_WRONG, Phase.CREDENTIAL, CalendarPhase.CREDENTIAL),
        (Outcome.MISCONFIGURED, Phase.CREDENTIAL, CalendarPhase.CREDENTIAL),
        (Outcome.CLOCK_SKEWED, Phase.CLOCK_SKEW, CalendarPhase.CLOCK_SKEW),
    ],
)
def test_what_an_operator_can_mend_wipes_nothing_however_long_it_lasts(
    outcome: Outcome, phase: Phase, told: CalendarPhase
):
    story = Story().active()
    for minute in range(10, 3000, 7):
        story.at(minute, TOKEN, outcome)
    assert story.phase() is phase
    assert story.deeds == [Deed.STOP]
    assert {(each.room, each.phase) for each in story.tells} == {(room, told) for room in (None, *ROOMS)}
    assert len(story.tells) == 1 + len(ROOMS)  # once
    story.at(3000, FJORD, Outcome.ANSWERED)  # by a token of before
    assert story.phase() is phase
    story.at(3001, TOKEN, Outcome.ANSWERED)
    assert story.phase() is Phase.CONNECTING
    story.at(3001, FJORD, Outcome.ANSWERED)
    assert story.phase() is Phase.ACTIVE
    assert story.deeds == [Deed.STOP, Deed.USE]


def test_a_directory_that_is_switched_off_leaves_the_rooms_alone():
    story = Story().at(0, DIRECTORY, Outcome.MISCONFIGURED).at(0, FJORD, Outcome.ANSWERED)
    assert story.phase() is Phase.ACTIVE
    alone = Story(rooms=[]).at(0, DIRECTORY, Outcome.MISCONFIGURED)
    assert alone.phase() is Phase.CREDENTIAL
    at = integration.next_probe(alone.it)
    assert at is not None
    assert integration.probes(alone.it, at) == (Probe(door=DIRECTORY),)


def test_one_room_that_is_misconfigured_leaves_the_others_alone():
    partly = Story().at(0, ROOMS[1], Outcome.ANSWERED).at(1, FJORD, Outcome.MISCONFIGURED)
    assert partly.phase() is Phase.ACTIVE
    story = Story().active().at(1, FJORD, Outcome.MISCONFIGURED)
    assert story.phase() is Phase.ACTIVE
    assert story.it.rooms[FJORD].phase is RoomPhase.NOT_FOUND
    story.all_rooms(2, Outcome.MISCONFIGURED).all_rooms(20, Outcome.MISCONFIGURED)
    assert story.phase() is Phase.CREDENTIAL


def test_new_settings_are_tried_at_once():
    story = Story().active().at(10, TOKEN, Outcome.CREDENTIAL_WRONG).consented(11)
    assert story.phase() is Phase.CONNECTING
    assert resting(story.it) == {}


# ── disturbances ──


def test_one_lost_answer_is_nothing_and_three_in_a_row_are_a_disturbance():
    story = Story().active().at(10, FJORD, Outcome.TRANSIENT).at(10, ROOMS[1], Outcome.TRANSIENT)
    story.at(10, ROOMS[2], Outcome.ANSWERED).at(10, ROOMS[3], Outcome.TRANSIENT)
    assert story.phase() is Phase.ACTIVE
    story.at(11, FJORD, Outcome.TRANSIENT).at(11, ROOMS[1], Outcome.TRANSIENT)
    assert story.phase() is Phase.DEGRADED
    assert story.deeds == []
    assert set(resting(story.it)) == set(ROOMS)
    story.at(20, FJORD, Outcome.ANSWERED)
    assert story.phase() is Phase.ACTIVE
    assert resting(story.it) == {}


def test_an_outage_is_asked_after_less_and_less_often_whoever_asks():
    story = Story().active()
    now, rests = 10.0, []
    for _ in range(12):
        story.all_rooms(now, Outcome.TRANSIENT)
        at = resting(story.it)[FJORD]
        rests.append((at - NINE).total_seconds() / 60 - now)
        now += rests[-1]
    assert rests == sorted(rests)
    assert 0.3 < rests[0] < 0.6
    assert 7 < rests[-1] <= 15


def test_the_service_is_not_asked_before_it_wants_to():
    story = Story().active().at(10, TOKEN, Outcome.THROTTLED, retry_after_s=600.0)
    assert resting(story.it)[FJORD] == NINE + timedelta(minutes=20)


@pytest.mark.parametrize("retry_after_s", [float("nan"), float("inf"), -1.0, 0.0, 1e300])
def test_no_word_of_a_service_stops_us_for_ever(retry_after_s: float):
    story = Story().active().at(10, TOKEN, Outcome.THROTTLED, retry_after_s=retry_after_s)
    at = resting(story.it)[FJORD]
    assert NINE < at <= NINE + timedelta(days=1, minutes=10)


def test_a_directory_that_fails_is_asked_again_later_and_not_for_ever():
    story = Story().active().at(10, DIRECTORY, Outcome.TRANSIENT)
    at = integration.next_probe(story.it)
    assert at is not None
    assert NINE + timedelta(minutes=12) < at <= NINE + timedelta(minutes=15)
    assert integration.probes(story.it, at) == (Probe(door=DIRECTORY),)
    story.at(15, DIRECTORY, Outcome.ANSWERED)
    assert integration.next_probe(story.it) is None


# ── errors, words, tables ──


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.Transient("x"), Outcome.TRANSIENT),
        (errors.Unreadable("x"), Outcome.TRANSIENT),
        (errors.Throttled("x", retry_after_s=3.0), Outcome.THROTTLED),
        (errors.CredentialWrong("x"), Outcome.CREDENTIAL_WRONG),
        (errors.ClockSkewed("x"), Outcome.CLOCK_SKEWED),
        (errors.Revoked("x"), Outcome.REVOKED),
        (errors.Misconfigured("x"), Outcome.MISCONFIGURED),
        (errors.RoomDenied("x"), Outcome.DENIED),
        (errors.RoomUnknown("x"), Outcome.UNKNOWN),
        (errors.RoomsDenied("x"), Outcome.DENIED),
        (errors.Refused("x"), Outcome.REFUSED),
        (errors.WritingOff("x"), Outcome.REFUSED),
        (errors.Gone("x"), Outcome.REFUSED),
        (errors.Conflicting("x"), Outcome.REFUSED),
    ],
)
def test_every_error_has_its_outcome(error: errors.CalendarError, outcome: Outcome):
    said = integration.said_by(error, at=NINE, luck=0.0)
    assert said.outcome is outcome
    assert said.why == "x"
    assert said.retry_after_s == (3.0 if outcome is Outcome.THROTTLED else None)


def every_error(of: type[errors.CalendarError]) -> Iterable[type[errors.CalendarError]]:
    for each in of.__subclasses__():
        yield each
        yield from every_error(each)


def test_no_error_is_left_to_chance():
    for each in every_error(errors.CalendarError):
        assert integration.said_by(each("x"), at=NINE, luck=0.0).outcome in Outcome


def test_an_errors_own_mend_goes_before_the_usual_one():
    error = errors.CredentialWrong("AADSTS7000222: the secret has expired", mend="make a new one")
    it = integration.token_said(
        integration.begin(Service.MICROSOFT, ROOMS, NINE), integration.said_by(error, at=NINE, luck=0.0)
    ).integration
    assert integration.words(it) == (
        "AADSTS7000222: the secret has expired; make a new one; then: roomd calendars connect microsoft"
    )


@pytest.mark.parametrize("service", Service)
def test_every_state_but_the_good_ones_has_its_mend(service: Service):
    it = integration.begin(service, ROOMS, NINE)
    for phase in Phase:
        told = integration.words(replace(it, phase=phase))
        assert (told is None) == (phase is Phase.ACTIVE)
        assert integration.calendar_phase(phase) in CalendarPhase
    for room in RoomPhase:
        told = integration.room_words(service, replace(integration.UNASKED, phase=room))
        assert (told is None) == (room is RoomPhase.OK)


def test_the_table_reaches_every_phase_and_leaves_every_one():
    reached = {Phase.CONNECTING}
    for _ in Phase:
        reached |= {move.to for (start, _), move in INTEGRATION_TRANSITIONS.items() if start in reached}
    assert reached == set(Phase)
    assert {start for start, _ in INTEGRATION_TRANSITIONS if start is not None} == set(Phase)
    assert {sign for _, sign in INTEGRATION_TRANSITIONS} == set(Sign)
    assert set(ROOM_TRANSITIONS.values()) == set(RoomPhase)


def test_the_table_uses_stops_and_wipes_where_the_phases_say_so():
    for (start, sign), move in INTEGRATION_TRANSITIONS.items():
        assert (Deed.USE in move.does) == (move.to in USED and start not in USED)
        assert (Deed.STOP in move.does) == (move.to not in USED and start in USED)
        assert (Deed.WIPE in move.does) == (move.to is Phase.REVOKED)
        assert move.to is not Phase.REVOKED or (start, sign) == (Phase.DOUBTED, Sign.REFUSED_AGAIN)
        assert start is not Phase.REVOKED or sign is Sign.CONSENTED


# ── whatever is said ──


SAYING = st.tuples(
    st.sampled_from([TOKEN, DIRECTORY, *ROOMS[:3]]),
    st.sampled_from(Outcome),
    st.floats(0, 30),  # minutes since the last
    st.none() | st.floats(0, 10_000),
    st.floats(0, 1, exclude_max=True),
)


@settings(max_examples=200)
@given(sayings=st.lists(SAYING, max_size=40))
def test_whatever_is_said_the_promises_hold(
    sayings: list[tuple[Door | RoomId, Outcome, float, float | None, float]],
):
    it = integration.begin(Service.GOOGLE, ROOMS[:3], NINE)
    used, now = False, NINE
    refusals: list[datetime] = []
    for whom, outcome, minutes, retry_after_s, luck in sayings:
        now += timedelta(minutes=minutes)
        before = it
        turned = say(it, whom, Said(outcome=outcome, at=now, retry_after_s=retry_after_s, luck=luck))
        it = turned.integration
        if outcome in {Outcome.REVOKED, Outcome.DENIED}:
            refusals.append(now)
        for deed in turned.deeds:
            assert (deed is Deed.USE) == (not used) or deed is Deed.WIPE
            used = deed is Deed.USE
        assert used == (it.phase in USED)
        if Deed.WIPE in turned.deeds:
            assert outcome in {Outcome.REVOKED, Outcome.DENIED}
            assert any(now - each >= SECOND_LOOK for each in refusals)
            assert before.phase is Phase.DOUBTED
        assert before.phase is not Phase.REVOKED or it == before
        # It is asked again in every state in which an answer would help, and not at once for ever.
        if it.phase not in READING and it.phase is not Phase.REVOKED:
            probe_at = integration.next_probe(it)
            assert probe_at is not None
            assert probe_at <= now + timedelta(days=1)
            if before.phase is not it.phase:
                assert probe_at > now
        assert all(at <= now + timedelta(days=1) for at in resting(it).values())
        for tell in turned.tells:
            assert tell.room is None or integration.standing(it, tell.room) == (tell.phase, tell.why)
    assert integration.consented(it, now).integration.phase in {Phase.CONNECTING, *USED}


@given(
    sayings=st.lists(SAYING, max_size=15),
    by=st.timedeltas(timedelta(days=-100), timedelta(days=100)),
)
def test_a_clock_that_jumps_takes_the_deadlines_with_it(
    sayings: list[tuple[Door | RoomId, Outcome, float, float | None, float]], by: timedelta
):
    it, now = integration.begin(Service.GOOGLE, ROOMS[:3], NINE), NINE
    for whom, outcome, minutes, retry_after_s, luck in sayings:
        now += timedelta(minutes=minutes)
        said = Said(outcome=outcome, at=now, retry_after_s=retry_after_s, luck=luck)
        it = say(it, whom, said).integration
    moved = integration.stepped(it, by)
    at, later = integration.next_probe(it), integration.next_probe(moved)
    assert (at is None) == (later is None)
    assert at is None or later == at + by
    assert resting(moved) == {r: t + by for r, t in resting(it).items()}


@given(
    start=st.lists(SAYING, max_size=10),
    answers=st.sampled_from([o for o in Outcome if o is not Outcome.ANSWERED]),
)
def test_whoever_follows_the_probes_is_never_kept_busy(
    start: list[tuple[Door | RoomId, Outcome, float, float | None, float]], answers: Outcome
):
    it, now = integration.begin(Service.WEBEX, ROOMS[:3], NINE), NINE
    for whom, outcome, minutes, _, luck in start:
        now += timedelta(minutes=minutes)
        it = say(it, whom, Said(outcome=outcome, at=now, luck=luck)).integration
    until, asked = now + timedelta(hours=2), 0
    while (at := integration.next_probe(it)) is not None and at <= until:
        now = max(now, at)
        for probe in integration.probes(it, now):
            asked += 1
            it = say(it, probe.room or probe.door, Said(outcome=answers, at=now)).integration
        assert asked < 400
