"""Rooms that nobody came to, told as stories: who is asked, what keeps a room, and when it is given back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agent import snapshots
from agent.core.events import (
    BookingCheckedIn,
    BookingDeleted,
    BookingRequested,
    BookingsListed,
    CalendarOrderTaken,
    CallsCounted,
    CheckInRead,
    CommandGiven,
    CurrentValuesRead,
    DeviceConnected,
    DeviceLost,
    ListedBooking,
    MessageRefused,
    MessageShown,
    MessageTakenOff,
    OrderRefused,
    OrderTaken,
    PeopleCounted,
    PresenceSensed,
    PromptAnswered,
    PromptCleared,
    PromptDisplayed,
    RoomEvent,
    SensorCutOff,
    SensorSaid,
    SharingSensed,
    UseSensed,
)
from agent.core.facts import (
    CalendarRequest,
    FactKind,
    ListBookings,
    ListCalendar,
    ReadValues,
    Release,
    ReleaseFact,
    ReleaseInCalendar,
    Request,
    ShowLine,
    ShowOn,
    TakeOff,
    Wake,
)
from agent.core.glance import glance
from agent.core.model import (
    Ability,
    BookingId,
    CalendarKind,
    CommandId,
    DeviceId,
    FeedbackId,
    HoldId,
    Policy,
    ReleaseMode,
    ReleasePhase,
    Releasing,
    RoomId,
    Rules,
    Sense,
    SensorId,
    SensorRules,
    Surface,
)
from agent.core.orders import ClearMessage, ExtendBooking, PlaceHold, ShowMessage
from agent.core.releasing import ANSWERS_UNHEARD, CHECKS_IN, PERHAPS_CHECKS_IN
from agent.core.step import step
from agent.core.week import read_hours
from tests.agent.core.story import CODEC, DAY, M1, M2, Story, at, entry, listed

RELEASED, UNCLAIMED = FactKind.BOOKING_RELEASED, FactKind.BOOKING_UNCLAIMED
KEPT, FAILED = FactKind.BOOKING_KEPT, FactKind.BOOKING_RELEASE_FAILED
OF_RELEASES = {RELEASED, UNCLAIMED, KEPT, FAILED}
MISCONFIGURED = FactKind.DEVICE_MISCONFIGURED
PANEL = DeviceId("fjord-panel")
ON = Releasing(mode=ReleaseMode.ON)
DRY_RUN = Releasing(mode=ReleaseMode.DRY_RUN)
PLANNING = listed("webex-1", M1, "09:00", "10:00")


def policy(releasing: Releasing, **more: object) -> Policy:
    return Policy(rooms={RoomId("fjord"): Rules(releasing=releasing)}, **more)  # type: ignore[arg-type]


@dataclass(slots=True)
class Vacant(Story):
    """A room whose devices do what they are asked, and sense what the story says: nobody, at first."""

    shows: bool = True  # messages
    obeys: bool = True  # when told to give a booking back
    says: str | None = None  # at once, why it is gone
    rereads: bool = True  # its values when it is asked
    takes: str | None = None  # why the device does not give it back
    sensed: dict[str, object] = field(default_factory=dict)
    requests: list[tuple[datetime, Request]] = field(default_factory=list)
    bookings: tuple[ListedBooking, ...] = (PLANNING,)
    silent: bool = False  # the linked calendar does not answer

    def begun(
        self,
        *,
        checks_in: bool | None = False,
        hears_answers: bool = True,
        until: str = "09:00",
    ) -> Vacant:
        """The device is there, nobody is in the room, and the booking begins at nine."""
        self.sensed = {"people": 0, "presence": False, "in_use": False, "calls": 0, "sharing": False}
        self._run_to(at("08:00"))
        for each in self.devices:
            self.reached(each, checks_in=checks_in, hears_answers=hears_answers)
        return self.until(until)

    def reached(
        self,
        device: DeviceId = CODEC,
        *,
        checks_in: bool | None = False,
        hears_answers: bool = True,
    ) -> Vacant:
        connected = DeviceConnected(
            device=device,
            product="Cisco Room Bar",
            serial="FOC1",
            firmware="ce11.27.2.0",
            transport="websocket",
            uptime_s=86_400,
            answers_requests=True,
            checks_in=checks_in,
            hears_answers=hears_answers,
            surfaces=(Surface.SCREEN,),
        )
        self._happen(connected)
        self._happen(self._values(device))
        self._happen(self._what_is_known(device))
        return self

    def until(self, clock: str, *tells: FactKind) -> Vacant:
        return self._followed(clock, None, tells)

    def then(self, clock: str, event: RoomEvent, *tells: FactKind) -> Vacant:
        return self._followed(clock, event, tells)

    def senses(self, clock: str, *tells: FactKind, **values: object) -> Vacant:
        self._run_to(at(clock))
        self.sensed |= values
        return self._followed(clock, self._values(self.devices[0]), tells)

    def ordered(self, clock: str, order: object, *tells: FactKind) -> Vacant:
        command = CommandId(f"command-{len(self.requests)}-{clock}")
        return self._followed(clock, CommandGiven(command=command, order=order), tells)  # type: ignore[arg-type]

    def _followed(self, clock: str, event: RoomEvent | None, tells: Iterable[FactKind]) -> Vacant:
        """At this time this happens, and of releases the cloud is told exactly this by then."""
        before = len(self.told)
        self._run_to(at(clock))
        if event is not None:
            self._happen(event)
        kinds = [fact.kind for fact in self.told[before:] if fact.kind in OF_RELEASES]
        assert kinds == list(tells), f"{clock}: told {kinds}, expected {list(tells)}"
        return self

    @property
    def fact(self) -> ReleaseFact:
        return next(fact for fact in reversed(self.told) if isinstance(fact, ReleaseFact))

    @property
    def phase(self) -> ReleasePhase | None:
        attempt = next(iter(self.room.releases.values()), None)
        return None if attempt is None else attempt.phase

    @property
    def prompt(self) -> FeedbackId:
        prompt = next(iter(self.room.releases.values())).prompt
        assert prompt is not None
        return prompt

    def asked_for(self, *kinds: type[Request]) -> list[str]:
        """When devices were asked for something of these kinds."""
        return [f"{when:%H:%M:%S}" for when, request in self.requests if isinstance(request, kinds)]

    def lines(self) -> list[str]:
        return [request.text for _, request in self.requests if isinstance(request, ShowLine)]

    def happens(self, event: RoomEvent) -> None:
        self._happen(event)

    def passes(self, instant: datetime) -> None:
        self._run_to(instant)

    def values(self, device: DeviceId) -> CurrentValuesRead:
        return self._values(device)

    def ordered_release(self) -> datetime | None:
        """When a device was told to give a booking back; None: none was."""
        return next((when for when, each in self.requests if isinstance(each, Release)), None)

    # ── what the devices do ──

    def _happen(self, event: RoomEvent) -> None:
        taken = step(self.room, event, now=self.now, policy=self.policy)
        self.room = taken.room
        self.told += taken.facts
        self.answers += taken.answers
        self.asked_calendars += [(self.now, request) for request in taken.calendar_requests]
        self.requests += [(self.now, request) for request in taken.requests]
        for request in taken.requests:
            for reply in self._replies(request):
                self._happen(reply)
        for wish in taken.calendar_requests:
            self._answer(wish)

    def _answer(self, wish: CalendarRequest) -> None:
        known = self.polled.get(wish.calendar)
        if known is None or self.silent:
            return
        if isinstance(wish, ReleaseInCalendar):
            left = tuple(each for each in known.entries if each.entry_id != wish.entry_id)
            self.polled[wish.calendar] = replace(known, entries=left)
            self._happen(CalendarOrderTaken(calendar=wish.calendar, command=wish.command))
        else:
            self._happen(replace(self.polled[wish.calendar], asked_at=self.now))

    def _replies(self, request: Request) -> Iterable[RoomEvent]:
        match request:
            case ReadValues(device=device):
                if self.rereads:
                    yield self._values(device)
            case ShowOn(device=device, surface=surface, feedback_id=name):
                if self.shows:
                    yield MessageShown(device=device, surface=surface, feedback_id=name)
            case TakeOff(device=device, surface=surface, feedback_id=name):
                yield MessageTakenOff(device=device, surface=surface, feedback_id=name)
            case Release(device=device, command=command, booking=booking):
                if self.takes is not None:
                    yield OrderRefused(device=device, command=command, why=self.takes)
                    return
                if self.obeys:
                    self.bookings = tuple(
                        each for each in self.bookings if each.booking_id != booking.booking_ids[device]
                    )
                yield OrderTaken(device=device, command=command)
                if self.says is not None:
                    id_ = booking.booking_ids[device]
                    yield BookingDeleted(device=device, booking_id=id_, meeting_id=M1, cause=self.says)
            case ListBookings(device=device) if not self.mute:
                yield self._what_is_known(device)
            case _:
                pass

    def _values(self, device: DeviceId) -> CurrentValuesRead:
        return CurrentValuesRead(device=device, **self.sensed)  # type: ignore[arg-type]

    def _what_is_known(self, device: DeviceId) -> BookingsListed:
        return BookingsListed(
            device=device,
            bookings=tuple(each for each in self.bookings if each.ends_at > self.now),
            asked_at=self.now,
            covers_until=DAY + timedelta(days=2),
        )


def vacant(releasing: Releasing = ON, **more: object) -> Vacant:
    return Vacant(policy=policy(releasing), **more)  # type: ignore[arg-type]


# ── a room that nobody came to ────────────────────────────────────────────────────────────────────


def test_nobody_comes_the_room_is_asked_once_looked_at_again_and_given_back():
    day = vacant().begun().until("09:12:30", RELEASED)
    assert day.asked_for(Wake, ShowOn) == ["09:10:00", "09:10:00"]
    shown = next(request for _, request in day.requests if isinstance(request, ShowOn))
    assert shown.answers == ("We are here",)
    assert "At 09:12 the room is given to others" in shown.text
    assert day.asked_for(ReadValues)[-1] == "09:12:00"
    assert day.asked_for(Release) == ["09:12:00"]
    assert day.asked_for(TakeOff) == ["09:12:00"]
    assert [fact.kind for fact in day.told if fact.kind in OF_RELEASES] == [RELEASED]
    told = day.fact
    assert told.booking.phase == "deleted"
    assert (told.attempt.warned_at, told.attempt.empty_since) == (at("09:10"), at("09:00:15"))
    assert told.freed_from is not None
    assert told.freed_from < at("09:12:10")
    assert told.witnesses == (CODEC,)
    assert day.phase is ReleasePhase.RELEASED
    assert day.answers == []  # nobody waits for an answer to what roomd orders


def test_the_release_is_told_after_the_booking_is_known_to_be_gone():
    day = vacant().begun().until("09:12:30", RELEASED)
    kinds = [fact.kind for fact in day.told]
    assert kinds.index(FactKind.BOOKING_DELETED) < kinds.index(RELEASED)


def test_the_countdown_is_few_lines_and_no_nag():
    day = vacant().begun().until("09:13", RELEASED)
    seconds = [line.removeprefix("This room is given to others in ") for line in day.lines()]
    assert seconds == ["120 seconds", "60 seconds", "30 seconds", "10 seconds", ""]
    assert day.asked_for(ShowOn) == ["09:10:00"]


def test_texts_are_the_sites_own_and_without_a_countdown_none_is_shown():
    words = replace(ON, title="", text="Er noen her? {time}", answer="Ja", countdown="")
    day = vacant(words)
    day.policy = policy(words, timezone=ZoneInfo("Europe/Oslo"))
    day.begun().until("09:11")
    shown = next(request for _, request in day.requests if isinstance(request, ShowOn))
    assert (shown.title, shown.text, shown.answers) == (None, "Er noen her? 10:12", ("Ja",))
    assert day.lines() == []


def test_off_is_the_default_and_nothing_happens():
    day = Vacant().begun().until("10:30")
    assert day.room.releases == {}
    assert day.asked_for(ShowOn, Release, ReadValues) == []


def test_a_dry_run_tells_and_shows_nothing_in_the_room():
    day = vacant(DRY_RUN).begun().until("09:20", UNCLAIMED)
    assert day.asked_for(ShowOn, Wake, ShowLine, Release) == []
    assert day.asked_for(ReadValues) == ["09:12:00"]  # the last check is made all the same
    assert day.fact.freed_from == at("09:12")
    assert (day.fact.attempt.warned_at, day.fact.booking.phase) == (None, "started")
    day.until("10:30")


def test_without_a_warning_the_last_check_follows_at_once():
    day = vacant(replace(ON, warning=timedelta())).begun().until("09:10:30", RELEASED)
    assert day.asked_for(ShowOn) == []
    assert day.fact.attempt.warned_at is None


# ── what keeps a room ─────────────────────────────────────────────────────────────────────────────


def test_we_are_here_keeps_the_room_for_the_rest_of_the_booking():
    day = vacant().begun().until("09:11")
    day.then("09:11", PromptAnswered(device=CODEC, feedback_id=day.prompt, option=1), KEPT)
    assert day.fact.cause == "answered"
    assert day.lines()[-1] == ""
    assert day.asked_for(TakeOff) == ["09:11:00"]
    day.until("11:00")
    assert day.asked_for(ShowOn) == ["09:10:00"]
    assert day.asked_for(Release) == []


@pytest.mark.parametrize(
    "sign",
    [
        PresenceSensed(device=CODEC, presence=True),
        PeopleCounted(device=CODEC, people=1),
        CallsCounted(device=CODEC, calls=1),
        SharingSensed(device=CODEC, sharing=True),
    ],
    ids=lambda event: type(event).__name__,
)
@pytest.mark.parametrize("clock", ["09:10:00", "09:11:59"])
def test_any_sign_of_people_during_the_warning_keeps_the_room(sign: RoomEvent, clock: str):
    day = vacant().begun().then(clock, sign, KEPT)
    assert day.fact.cause == "seen"
    day.senses("09:13").until("10:30")
    assert day.asked_for(Release) == []


def test_a_check_in_keeps_the_room():
    day = vacant().begun()
    checked_in = BookingCheckedIn(device=CODEC, booking_id=BookingId("webex-1"), meeting_id=M1)
    day.then("09:11", checked_in, KEPT)
    assert day.fact.cause == "checked_in"


def test_whoever_takes_the_question_off_has_touched_the_screen():
    day = vacant().begun().until("09:11")
    day.then("09:11", PromptCleared(device=CODEC, feedback_id=day.prompt), KEPT)
    assert day.fact.cause == "dismissed"
    day.until("10:30")
    assert day.asked_for(ShowOn) == ["09:10:00"]  # it does not come back


def test_a_prompt_of_somebody_else_over_ours_leaves_the_room_alone():
    day = vacant().begun().until("09:11")
    foreign = PromptDisplayed(device=CODEC, feedback_id=FeedbackId("another-system"), duration_s=30)
    day.then("09:11", foreign, KEPT)
    assert day.fact.cause == "dismissed"


def test_what_the_last_check_sees_counts_more_than_what_was_heard_before():
    day = vacant().begun().until("09:11")
    day.sensed |= {"presence": True, "in_use": True}  # and no frame told of it
    day.until("09:13", KEPT)
    assert day.fact.cause == "seen"
    assert day.asked_for(Release) == []


def test_a_booking_that_was_extended_meanwhile_is_somebodys():
    day = vacant().begun().until("09:11")
    day.bookings = (replace(PLANNING, ends_at=at("10:30")),)
    day.until("09:13", KEPT)
    assert day.fact.cause == "extended"


def test_people_who_come_within_the_grace_are_never_asked():
    day = vacant().begun().senses("09:06", people=3, presence=True, in_use=True).until("09:30")
    assert day.phase is ReleasePhase.KEPT
    day.senses("09:31", people=0, presence=False, in_use=False).until("10:30")
    assert day.asked_for(ShowOn) == []


def test_whoever_was_seen_for_a_moment_may_sit_where_nobody_looks():
    day = vacant().begun().senses("09:08", presence=True, in_use=True)
    day.senses("09:08:20", presence=False, in_use=False).until("10:30")
    assert day.asked_for(ShowOn, Release) == []
    assert day.phase is ReleasePhase.KEPT


def test_those_who_were_just_leaving_keep_nothing_and_the_room_is_empty_for_a_while_first():
    day = vacant(replace(ON, grace=timedelta(minutes=5))).begun(until="08:59")
    day.senses("08:59", people=2, presence=True, in_use=True).senses("09:00:30", people=0)
    day.senses("09:01:50", presence=False, in_use=False).until("09:06:49")
    assert day.asked_for(ShowOn) == []
    day.until("09:06:51")
    assert day.asked_for(ShowOn) == ["09:06:50"]


def test_presence_that_clears_a_frame_before_use_is_nobodys_coming():
    day = vacant().begun(until="08:59").senses("08:59", people=2, presence=True, in_use=True)
    day.senses("08:59:50", people=0)
    day.then("09:00:48", PresenceSensed(device=CODEC, presence=False))
    day.then("09:00:48", UseSensed(device=CODEC, in_use=False))
    day.sensed |= {"presence": False, "in_use": False}
    day.until("09:13", RELEASED)


def test_people_of_the_meeting_before_who_stay_on_keep_the_room():
    day = vacant().begun(until="08:59").senses("08:59", people=2, presence=True, in_use=True)
    day.senses("09:04", people=0, presence=False, in_use=False).until("10:30")
    assert day.asked_for(ShowOn) == []


# ── what nobody knows ─────────────────────────────────────────────────────────────────────────────


def test_a_room_of_which_nobody_knows_whether_it_is_empty_is_left_alone():
    day = vacant().begun().senses("09:01", people=None, presence=None, in_use=None).until("10:30")
    assert day.asked_for(ShowOn, Release) == []
    assert day.phase is ReleasePhase.SPARED


def test_what_becomes_unknown_during_the_warning_is_spared():
    day = vacant().begun().senses("09:11", KEPT, people=None, presence=None, in_use=None)
    assert day.fact.cause == "unknown"


def test_a_device_that_is_lost_during_the_warning_spares_the_room():
    day = vacant().begun().then("09:11", DeviceLost(device=CODEC, why="cut"), KEPT)
    day.until("09:15")
    assert day.fact.cause == "interrupted"


def test_a_line_that_was_changed_during_the_warning_may_have_lost_an_answer():
    day = vacant().begun().until("09:11")
    day.reached().until("09:30")
    assert day.fact.cause == "interrupted"
    assert day.asked_for(ShowOn) == ["09:10:00"]


def test_a_last_check_that_nobody_answers_spares_the_room():
    day = vacant().begun()
    day.rereads = False
    day.until("09:12:29").until("09:12:31", KEPT)
    assert day.fact.cause == "unchecked"


def test_a_sensor_that_nobody_hears_at_the_last_check_spares_the_room_unless_it_is_heard_in_time():
    """What it said before the line broke counts for two minutes: long enough for somebody to come unseen."""
    sensor = SensorRules(id=SensorId("ceiling"), clears_after=timedelta(0))
    nobody = SensorSaid(sensor=sensor.id, values={Sense.PRESENCE: False})
    for heard_again, told, cause in ((False, KEPT, "unchecked"), (True, RELEASED, None)):
        day = vacant()
        day.policy = replace(day.policy, rooms={RoomId("fjord"): Rules(releasing=ON, sensors=(sensor,))})
        day.restarts("07:00")
        day.begun(until="08:30").then("08:30", nobody).until("09:11:30")
        day.then("09:11:30", SensorCutOff(sensor=sensor.id, why="cut")).until("09:12:10")
        assert day.asked_for(Release) == []
        if heard_again:
            day.then("09:12:15", replace(nobody, kept=True))
        day.until("09:13", told)
        assert day.fact.cause == cause


@pytest.mark.parametrize("cause", ["checked_out", "deleted", "declined"])
def test_what_roomd_gives_back_was_a_ghost_whatever_the_device_calls_it(cause: str):
    day = vacant(judges=True, says=cause).begun().until("09:12:30", RELEASED)
    ghosts = [
        fact.kind for fact in day.told if fact.kind in {FactKind.BOOKING_GHOST, FactKind.BOOKING_JUDGED}
    ]
    assert ghosts == [FactKind.BOOKING_GHOST]


def test_a_listing_that_does_not_come_spares_the_room():
    day = vacant().begun()
    day.mute = True
    day.until("09:13", KEPT)
    assert day.fact.cause == "unchecked"


def test_a_warning_that_no_screen_shows_warns_nobody():
    day = vacant(shows=False).begun().until("09:11:01", KEPT)
    assert day.fact.cause == "unseen"


def test_a_warning_that_the_device_refuses_warns_nobody():
    day = vacant(shows=False).begun().until("09:10")
    refused = MessageRefused(device=CODEC, surface=Surface.SCREEN, feedback_id=day.prompt, why="no")
    day.then("09:10:01", refused, KEPT)
    assert day.fact.cause == "unseen"


# ── at most once ──────────────────────────────────────────────────────────────────────────────────


def test_a_booking_that_is_listed_again_is_not_released_again():
    day = vacant().begun().until("09:13", RELEASED)
    day.bookings = (PLANNING,)
    day.until("09:59")
    assert day.asked_for(Release) == ["09:12:00"]
    assert day.asked_for(ShowOn) == ["09:10:00"]


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (PLANNING, replace(PLANNING, booking_id=BookingId("webex-9"))),
        (listed("tms-1", None, "09:00", "10:00"), listed("tms-1", None, "09:00", "10:00")),
    ],
    ids=["another-booking-id", "pushed"],
)
def test_a_booking_that_comes_back_after_it_was_forgotten_is_not_released_again(
    first: ListedBooking, again: ListedBooking
):
    day = vacant(bookings=(first,)).begun().until("09:30", RELEASED)
    assert day.room.bookings == {}
    day.bookings = (again,)
    day.lists("09:31", again).until("09:59")
    assert day.room.bookings
    assert day.asked_for(Release) == ["09:12:00"]


def test_a_device_that_agrees_and_does_not_do_it_is_a_failure_and_not_asked_again():
    day = vacant(obeys=False).begun().until("09:20", FAILED)
    assert day.fact.cause == "the device agreed and did not do it"
    day.until("10:30")
    assert day.asked_for(Release) == ["09:12:00"]


def test_the_meeting_id_of_the_last_listing_is_the_one_that_is_declined():
    day = vacant().begun().until("09:11")
    day.bookings = (replace(PLANNING, meeting_id=M2),)
    day.until("09:13", RELEASED)
    assert [each.booking.meeting_id for _, each in day.requests if isinstance(each, Release)] == [M2]


def test_a_refusal_is_told_with_its_reason():
    day = vacant(takes="The account's role is too small to change bookings").begun().until("09:20", FAILED)
    assert day.fact.cause == "The account's role is too small to change bookings"
    assert day.fact.freed_from is None
    day.until("10:30")
    assert day.asked_for(Release) == ["09:12:00"]


def test_a_booking_that_lasts_longer_after_all_is_not_asked_about_again():
    day = vacant(obeys=False).begun().until("09:20", FAILED)
    day.bookings = (listed("webex-1", M1, "09:00", "12:30"),)
    day.lists("09:50", *day.bookings).until("12:20")
    assert day.asked_for(ShowOn) == ["09:10:00"]
    assert day.asked_for(Release) == ["09:12:00"]
    day.until("13:31")
    assert day.room.releases == {}


def test_an_order_that_a_crash_swallowed_is_not_given_again():
    day = vacant(obeys=False).begun().until("09:12:01")
    assert day.phase is ReleasePhase.ASKED
    day.restarts("09:13")
    day.reached().until("10:30", FAILED)
    assert day.asked_for(Release) == ["09:12:00"]


def test_a_restart_during_the_warning_spares_the_room_as_nobody_heard_who_answered():
    day = vacant().begun().until("09:11")
    day.restarts("09:11:30")
    day.until("09:11:31", KEPT)
    assert day.fact.cause == "interrupted"
    day.reached().until("10:30")
    assert day.asked_for(Release) == []
    assert not any(hold.live for hold in day.room.holds.values())


def test_after_a_restart_before_the_warning_the_grace_begins_anew():
    day = vacant().begun().until("09:08")
    day.restarts("09:08:30")
    day.now = at("09:09")
    day.reached().until("09:18:59")
    assert day.asked_for(ShowOn) == []
    day.until("09:19:01")
    assert len(day.asked_for(ShowOn)) == 1


def test_whoever_came_while_nobody_could_tell_is_given_the_grace_to_be_noticed():
    day = vacant(replace(ON, warning=timedelta())).begun()
    day.then("09:01", DeviceLost(device=CODEC, why="no answer")).until("09:08")
    day.reached().until("09:17:59")
    assert day.asked_for(Release) == []
    day.until("09:18:30", RELEASED)


def test_a_booking_met_in_the_middle_has_its_grace_from_then_on():
    day = vacant(bookings=(listed("webex-1", M1, "07:30", "10:00"),)).begun(until="08:11")
    assert day.asked_for(ShowOn) == ["08:10:00"]


def test_a_clock_that_jumps_does_not_shorten_the_warning():
    day = vacant().begun().until("09:10:30")
    day.steps(timedelta(minutes=10))
    day.until("09:21:59")
    assert day.asked_for(Release) == []
    day.until("09:22:30", RELEASED)


# ── what is left alone ────────────────────────────────────────────────────────────────────────────


def called(name: str | None, address: str | None) -> ListedBooking:
    """The booking, by somebody of whom so much is known."""
    meeting = replace(PLANNING.meeting, organizer=name, organizer_address=address)
    return replace(PLANNING, meeting=meeting)


@pytest.mark.parametrize(
    ("rules", "booking"),
    [
        (replace(ON, longest=timedelta(minutes=59)), PLANNING),
        (ON, listed("webex-1", M1, "09:00", "13:30")),
        (replace(ON, private=False), listed("webex-1", M1, "09:00", "10:00", private=True)),
        (
            replace(ON, organizers=("*@board.example.com",)),
            listed("webex-1", M1, "09:00", "10:00", organizer="Eva@Board.example.com"),
        ),
        (
            replace(ON, organizers=("*@board.example.com",)),
            called("Eva Berg", "Eva@Board.example.com"),
        ),
        (replace(ON, organizers=("*@board.example.com",)), called("Eva Berg", None)),
        (replace(ON, organizers=("Eva Berg",)), called(None, "eva@board.example.com")),
        (replace(ON, organizers=("Eva",)), PLANNING),  # whose it is nobody knows
        (replace(ON, hours=(read_hours("Mon 08:00-09:30"),)), PLANNING),
        (ON, listed("webex-1", M1, "09:00", "09:15")),  # nothing would be gained
        (ON, listed("webex-1", M1, "00:00", "+1 00:00")),
    ],
    ids=[
        "longer",
        "much-longer",
        "private",
        "organizer",
        "address",
        "address-unknown",
        "name-unknown",
        "unknown-organizer",
        "hours",
        "short",
        "all-day",
    ],
)
def test_what_is_excluded_is_never_asked(rules: Releasing, booking: ListedBooking):
    day = vacant(rules, bookings=(booking,)).begun().until("13:00")
    assert day.asked_for(ShowOn, Release) == []


def test_exclusions_leave_others_to_be_released():
    rules = replace(
        ON,
        private=False,
        organizers=("Eva", "*@board.example.com"),
        hours=(read_hours("Tue-Sun 00:00-24:00"),),
        longest=None,
    )
    booking = replace(called("Ola", "ola@example.com"), ends_at=at("14:00"))
    vacant(rules, bookings=(booking,)).begun().until("09:13", RELEASED)


def test_whoever_asked_for_the_room_on_its_screen_a_moment_ago_has_a_grace_of_his_own():
    day = vacant(bookings=()).begun()
    asked = BookingRequested(
        device=CODEC, request_id=None, starts_at=at("09:00"), ends_at=at("10:00"), title="Ad hoc"
    )
    day.then("09:08", asked)
    day.bookings = (listed("webex-3", M1, "09:00", "10:00", "Ad hoc"),)
    day.until("09:17")
    assert day.asked_for(ShowOn) == []
    day.until("09:19")
    assert len(day.asked_for(ShowOn)) == 1


def test_a_room_that_is_held_for_somebody_is_not_asked():
    day = vacant().begun()
    kari = PlaceHold(hold=HoldId("kari"), text="Kari is on her way", ends_at=at("09:40"))
    day.ordered("09:05", kari).until("09:39")
    assert day.asked_for(ShowOn) == ["09:05:00"]
    day.until("09:43", RELEASED)


def test_a_hold_that_comes_during_the_warning_takes_its_place():
    day = vacant().begun()
    kari = PlaceHold(hold=HoldId("kari"), text="Kari is on her way", ends_at=at("09:40"))
    day.ordered("09:11", kari, KEPT)
    assert day.fact.cause == "held"
    day.until("10:30")
    assert day.asked_for(Release) == []


def test_messages_neither_replace_the_question_nor_keep_it_from_the_screen():
    day = vacant().begun()
    day.ordered("09:05", ShowMessage(text="Fire drill at ten", duration=timedelta(hours=1)))
    day.until("09:11")
    assert day.phase is ReleasePhase.WARNED
    assert len(day.asked_for(ShowOn)) == 2
    day.ordered("09:11", ShowMessage(text="Fire drill at eleven", duration=timedelta(hours=1)))
    day.ordered("09:11:10", ClearMessage()).until("09:13", RELEASED)


def test_a_booking_that_somebody_deletes_meanwhile_is_not_ours_to_tell():
    day = vacant().begun().until("09:11")
    day.bookings = ()
    day.lists("09:11").until("10:30")
    assert day.asked_for(Release) == []
    assert not any(hold.live for hold in day.room.holds.values())


def test_a_booking_put_off_during_the_grace_has_it_all_over_again():
    day = vacant().begun().until("09:05")
    day.bookings = (listed("webex-1", M1, "09:30", "10:30"),)
    day.lists("09:05", *day.bookings).until("09:39:59")
    assert day.asked_for(ShowOn) == []
    day.until("09:43", RELEASED)


def test_a_command_about_the_booking_goes_before():
    day = vacant(obeys=False).begun()
    day.ordered("09:09:50", ExtendBooking(booking=next(iter(day.room.bookings)), by=timedelta(minutes=15)))
    day.until("09:11")
    assert day.asked_for(ShowOn) == []


def test_two_that_overlap_are_asked_one_after_the_other():
    both = (PLANNING, listed("webex-2", M2, "09:00", "10:00", "Standup"))
    day = vacant(bookings=both).begun().until("09:11")
    assert day.asked_for(ShowOn) == ["09:10:00"]
    day.until("09:20", RELEASED, RELEASED)
    assert len(day.asked_for(ShowOn)) == 2


# ── beside the device's own check-in ──────────────────────────────────────────────────────────────


def test_beside_the_devices_own_check_in_nothing_is_released_and_it_is_told_as_misconfigured():
    day = vacant().begun(checks_in=True).until("10:30")
    assert day.asked_for(ShowOn, Release) == []
    assert day.room.devices[CODEC].shortcomings == (CHECKS_IN,)
    assert [fact.kind for fact in day.told].count(MISCONFIGURED) == 1


def test_a_device_that_does_not_say_stands_in_the_way_as_well():
    day = vacant().begun(checks_in=None).until("10:30")
    assert day.asked_for(ShowOn, Release) == []
    assert day.room.devices[CODEC].shortcomings == (PERHAPS_CHECKS_IN,)


def test_a_screen_that_cannot_answer_is_not_asked():
    day = vacant().begun(hears_answers=False).until("10:30")
    assert day.asked_for(ShowOn, Release) == []
    assert day.room.devices[CODEC].shortcomings == (ANSWERS_UNHEARD,)


def test_where_nobody_is_asked_no_answer_needs_to_be_heard():
    vacant(replace(ON, warning=timedelta())).begun(hears_answers=False).until("10:30", RELEASED)


def test_once_it_is_mended_the_room_is_released():
    day = vacant().begun(checks_in=True).until("09:30")
    day.then("09:30", CheckInRead(device=CODEC, enabled=False))
    assert day.room.devices[CODEC].shortcomings == ()
    day.until("09:33", RELEASED)


def test_switched_on_during_the_warning_it_spares_the_room():
    day = vacant().begun().then("09:11", CheckInRead(device=CODEC, enabled=True), KEPT)
    assert day.fact.cause == "excluded"


def test_where_roomd_releases_nothing_the_devices_own_check_in_is_nobodys_business():
    day = Vacant().begun(checks_in=True)
    assert day.room.devices[CODEC].shortcomings == ()


def test_releasing_switched_on_and_off_while_roomd_runs_is_followed():
    day = Vacant().begun(checks_in=True).until("09:20")
    day.policy = policy(ON)
    day.until("09:20:30")
    assert day.room.devices[CODEC].shortcomings == (CHECKS_IN,)
    day.then("09:21", CheckInRead(device=CODEC, enabled=False)).until("09:29:59")
    assert day.asked_for(ShowOn) == []
    day.until("09:30:01")
    assert len(day.asked_for(ShowOn)) == 1
    day.policy = policy(Releasing())
    day.until("09:30:40", KEPT)
    assert day.fact.cause == "excluded"
    day.until("10:30")
    assert day.asked_for(Release) == []


def test_a_release_that_is_only_to_be_rehearsed_from_now_on_is_not_carried_through():
    day = vacant().begun().until("09:11")
    day.policy = policy(DRY_RUN)
    day.until("09:11:30", KEPT)
    assert day.fact.cause == "excluded"
    day.until("10:30")
    assert day.asked_for(Release) == []
    assert day.asked_for(TakeOff)


def test_a_device_without_bookings_releases_none_by_itself():
    day = vacant().begun()
    panel = DeviceConnected(
        device=CODEC,
        product="Cisco Room Navigator",
        serial="FOC2",
        firmware="ce11.27.2.0",
        transport="websocket",
        lacks={Ability.BOOKINGS: "A Room Navigator that stands alone has no bookings: …"},
    )
    day.then("09:05", panel)
    assert day.room.devices[CODEC].release_why is None


# ── linked calendars ──────────────────────────────────────────────────────────────────────────────


def linked(*writes: CalendarKind) -> Vacant:
    """A room whose calendar in the cloud has a booking at nine, of which the device knows nothing."""
    day = vacant(calendars=(CalendarKind.MICROSOFT,), writes=writes, bookings=()).begun(until="08:30")
    day.reads("08:30", entry("e1", "09:00", "10:00"))
    return day.until("09:00")


def test_where_the_calendar_may_be_written_in_it_is_declined_there_after_a_new_reading():
    day = linked(CalendarKind.MICROSOFT).until("09:13", RELEASED)
    asked = [(f"{when:%H:%M:%S}", type(each)) for when, each in day.asked_calendars if when >= at("09:12")]
    assert asked[:2] == [("09:12:00", ListCalendar), ("09:12:00", ReleaseInCalendar)]
    assert day.fact.booking.calendar == "microsoft"
    assert day.asked_for(Release) == []


def test_where_neither_calendar_nor_device_could_take_it_back_nobody_is_asked_in_vain():
    day = linked().until("09:11", FAILED)
    assert "cannot be written in now" in str(day.fact.cause)
    assert day.asked_for(ShowOn) == []
    day.until("10:30")


def test_a_calendar_that_is_not_read_again_spares_the_room():
    day = linked(CalendarKind.MICROSOFT)
    day.silent = True
    day.until("09:13", KEPT)
    assert day.fact.cause == "unchecked"


# ── for people to see ─────────────────────────────────────────────────────────────────────────────


def test_a_room_that_is_being_asked_says_so_at_a_glance():
    day = vacant().begun().until("09:11")
    seen = glance(day.room, now=day.now, zone=ZoneInfo("Europe/Oslo"))
    assert seen.words == "Nobody there, released at 10:12"


def test_an_attempt_is_kept_on_disk_with_neither_title_nor_organizer():
    booking = called("Eva", "eva@example.com")
    booking = replace(booking, meeting=replace(booking.meeting, title="Secret merger"))
    day = vacant(bookings=(booking,)).begun().until("09:11")
    assert b"va@example" not in snapshots.body_of(day.room)
    kept = snapshots.read_body(snapshots.body_of(day.room))
    assert kept.releases == day.room.releases
    assert "merger" not in repr(day.room.releases)
