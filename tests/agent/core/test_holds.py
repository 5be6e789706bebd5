"""Holds and commands told as stories: what is ordered, what devices are asked for, what the cloud learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import pytest

from agent.core.devices import furnish
from agent.core.events import (
    BookingCreated,
    BookingDeleted,
    BookingFailed,
    BookingsListed,
    BookingStarted,
    CallsCounted,
    ClockStepped,
    ClockStruck,
    CommandGiven,
    DeviceConnected,
    DeviceLost,
    LightModeRead,
    MessageRefused,
    MessageShown,
    MessageTakenOff,
    OrderRefused,
    OrderTaken,
    PromptAnswered,
    PromptCleared,
    PromptDisplayed,
    RoomEvent,
    UptimeRead,
)
from agent.core.facts import (
    Book,
    Extend,
    Fact,
    FactKind,
    HoldFact,
    Light,
    ListBookings,
    ReadValues,
    Release,
    Request,
    RestoreLight,
    ShowOn,
    TakeOff,
    Wake,
)
from agent.core.holds import agent_of, wanted
from agent.core.model import (
    AnswerStatus,
    BookingId,
    CommandId,
    DeviceId,
    FeedbackId,
    Hold,
    HoldId,
    Policy,
    Room,
    RoomId,
    Surface,
)
from agent.core.orders import (
    Answer,
    BookRoom,
    CancelHold,
    ClearMessage,
    ExtendBooking,
    ExtendHold,
    Order,
    PlaceHold,
    ReleaseBooking,
    Resync,
    ShowMessage,
)
from agent.core.step import next_deadline, step
from tests.agent.core.story import CODEC, DAY, M1, at, device, listed

PANEL = DeviceId("fjord-panel")
KARI = HoldId("kari")
HERE, RELEASE = "I'm here", "Release it"

PLACED, SHOWN, ANSWERED = FactKind.HOLD_PLACED, FactKind.HOLD_SHOWN, FactKind.HOLD_ANSWERED
EXTENDED, ENDED, FAILED = FactKind.HOLD_EXTENDED, FactKind.HOLD_ENDED, FactKind.HOLD_FAILED


def hold(
    starts: str | None = None,
    ends: str = "09:15",
    *,
    name: str = KARI,
    on: tuple[Surface, ...] = (Surface.SCREEN,),
    answers: tuple[str, ...] = (HERE, RELEASE),
    book: bool = False,
    wake: bool = False,
    text: str = "Kept for Kari",
) -> PlaceHold:
    return PlaceHold(
        hold=HoldId(name),
        text=text,
        starts_at=None if starts is None else at(starts),
        ends_at=at(ends),
        surfaces=on,
        answers=answers,
        book=book,
        wake=wake,
    )


@dataclass(slots=True)
class Screens:
    """A room whose devices do at once what they are asked for, unless the story says otherwise."""

    devices: tuple[DeviceId, ...] = (CODEC,)
    policy: Policy = field(default_factory=Policy)
    room: Room = field(init=False)
    now: datetime = field(init=False)
    told: list[Fact] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    obedient: bool = True
    numbers: int = 0

    def __post_init__(self) -> None:
        self.now = at("08:00")
        self.room = furnish(None, RoomId("fjord"), tuple(device(d) for d in self.devices), now=self.now)

    def connected(
        self,
        clock: str = "08:00",
        *,
        device: DeviceId = CODEC,
        surfaces: tuple[Surface, ...] | None = None,
        uptime_s: int = 86_400,
    ) -> Screens:
        self._run_to(at(clock))
        self._happen(
            DeviceConnected(
                device=device,
                product="Cisco Room Bar",
                serial="FOC1",
                firmware="ce26.4.1",
                transport="websocket",
                uptime_s=uptime_s,
                answers_requests=True,
                surfaces=surfaces,
            )
        )
        self._happen(
            BookingsListed(
                device=device, bookings=(), asked_at=self.now, covers_until=DAY + timedelta(days=2)
            )
        )
        return self

    def ordered(self, clock: str, order: Order, *statuses: str, command: str | None = None) -> Screens:
        """The cloud orders that; it is answered so, at once or in the course of what devices do at once."""
        self._run_to(at(clock))
        self.numbers += 1
        before = len(self.answers)
        self._happen(CommandGiven(command=CommandId(command or f"c{self.numbers}"), order=order))
        assert [a.status.value for a in self.answers[before:]] == list(statuses), self.answers[before:]
        return self

    def then(self, clock: str, event: RoomEvent) -> Screens:
        self._run_to(at(clock))
        self._happen(event)
        return self

    def until(self, clock: str) -> Screens:
        self._run_to(at(clock))
        return self

    def restarts(self, clock: str) -> Screens:
        """The agent is killed, and starts again from its disk when its clock says so."""
        self.now = at(clock)
        kept = msgspec.json.decode(msgspec.json.encode(self.room), type=Room)
        assert kept == self.room
        self.room = furnish(kept, kept.id, tuple(device(d) for d in self.devices), now=self.now)
        return self

    def tells(self, *kinds: FactKind) -> Screens:
        """Since this was asked last, the cloud was told exactly this of holds."""
        told = [fact.kind for fact in self.told if isinstance(fact, HoldFact)]
        self.told.clear()
        assert told == list(kinds)
        return self

    def asks(self, *kinds: type[Request]) -> Screens:
        """Since this was asked last, devices were asked for exactly this, listings left aside."""
        asked = [type(request) for request in self.asked if not isinstance(request, ListBookings)]
        self.asked.clear()
        assert asked == list(kinds)
        return self

    @property
    def fact(self) -> HoldFact:
        return next(fact for fact in reversed(self.told) if isinstance(fact, HoldFact))

    @property
    def answer(self) -> Answer:
        return self.answers[-1]

    @property
    def hold(self) -> Hold:
        return tuple(self.room.holds.values())[-1]

    @property
    def feedback_id(self) -> FeedbackId:
        return self.hold.feedback_id

    def _run_to(self, instant: datetime) -> None:
        for _ in range(500):
            due = next_deadline(self.room, self.policy)
            if due is None or due > instant:
                break
            self.now = max(self.now, due)
            self._happen(ClockStruck())
        else:
            raise AssertionError("a deadline stands still")
        self.now = instant

    def _happen(self, event: RoomEvent) -> None:
        taken = step(self.room, event, now=self.now, policy=self.policy)
        self.room = taken.room
        self.told += taken.facts
        self.asked += taken.requests
        self.answers += taken.answers
        for request in taken.requests:
            reply = _reply(request, self.now)
            if reply is not None and (self.obedient or isinstance(request, ListBookings)):
                self._happen(reply)


def _reply(request: Request, now: datetime) -> RoomEvent | None:
    match request:
        case ShowOn(device=device_, surface=surface, feedback_id=name):
            return MessageShown(device=device_, surface=surface, feedback_id=name)
        case TakeOff(device=device_, surface=surface, feedback_id=name):
            return MessageTakenOff(device=device_, surface=surface, feedback_id=name)
        case Light(device=device_, feedback_id=name):
            return MessageShown(device=device_, surface=Surface.LED, feedback_id=name)
        case RestoreLight(device=device_, feedback_id=name):
            return MessageTakenOff(device=device_, surface=Surface.LED, feedback_id=name)
        case _:
            return None


# ── life ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_hold_is_shown_at_once_and_taken_off_at_its_end() -> None:
    day = Screens().connected().ordered("09:00", hold(), "done").tells(PLACED, SHOWN).asks(ShowOn)
    assert day.answer.result == {
        "hold_id": "kari",
        "starts_at": at("09:00").isoformat(),
        "ends_at": at("09:15").isoformat(),
    }
    day.until("09:15")
    assert (day.fact.kind, day.fact.at, day.fact.cause) == (ENDED, at("09:15"), "expired")
    day.tells(ENDED).asks(TakeOff)
    assert not any(each.showings for each in day.room.holds.values())
    day.until("10:00")
    assert not day.room.holds


def test_a_hold_for_later_waits_for_its_time() -> None:
    day = Screens().connected().ordered("08:30", hold("09:00"), "done").tells(PLACED).asks()
    day.until("09:00").tells(SHOWN).asks(ShowOn)


def test_holds_queue_and_one_that_overlaps_is_refused_with_the_one_in_the_way() -> None:
    day = Screens().connected().ordered("08:30", hold("09:00", "09:15"), "done")
    day.ordered("08:31", hold("09:15", "09:30", name="ola"), "done")
    day.ordered("08:32", hold("09:10", "09:20", name="eva"), "refused")
    assert "hold kari" in (day.answer.reason or "")
    day.ordered("08:33", ExtendHold(hold=KARI, ends_at=at("09:20")), "refused")
    assert "hold ola" in (day.answer.reason or "")
    day.tells(PLACED, PLACED).until("09:15").tells(SHOWN, ENDED, SHOWN).asks(ShowOn, TakeOff, ShowOn)


def test_the_first_answer_ends_a_hold_on_all_screens() -> None:
    both = Screens(devices=(CODEC, PANEL)).connected().connected(device=PANEL)
    day = both.ordered("09:00", hold(), "done").tells(PLACED, SHOWN, SHOWN).asks(ShowOn, ShowOn)
    day.then("09:05", PromptAnswered(device=PANEL, feedback_id=day.feedback_id, option=2))
    assert (day.fact.answer, day.fact.cause) == (RELEASE, "answered")
    day.tells(ANSWERED, ENDED).asks(TakeOff, TakeOff)
    day.then("09:05:01", PromptAnswered(device=CODEC, feedback_id=day.feedback_id, option=1)).tells()
    assert day.hold.answer == RELEASE


def test_an_answer_that_was_not_offered_is_none() -> None:
    day = Screens().connected().ordered("09:00", hold(), "done").tells(PLACED, SHOWN)
    day.then("09:01", PromptAnswered(device=CODEC, feedback_id=day.feedback_id, option=3)).tells()
    day.then("09:01", PromptAnswered(device=CODEC, feedback_id=None, option=1)).tells()


def test_a_hold_is_extended_and_cancelled() -> None:
    day = Screens().connected().ordered("09:00", hold(), "done").tells(PLACED, SHOWN)
    day.ordered("09:10", ExtendHold(hold=KARI, ends_at=at("09:40")), "done")
    assert day.fact.previous is not None
    assert day.fact.previous.ends_at == at("09:15")
    day.tells(EXTENDED).until("09:39").tells()
    day.asks(ShowOn, ShowOn)  # again before the device lets it lapse at the old end
    day.ordered("09:39", CancelHold(hold=KARI), "done").asks(TakeOff)
    assert day.fact.cause == "cancelled"
    day.ordered("09:40", CancelHold(hold=KARI), "refused")
    assert day.answer.reason == "hold kari is over: cancelled"
    day.ordered("09:40", CancelHold(hold=HoldId("ola")), "refused")


def test_placed_anew_it_replaces_itself_and_is_never_there_twice() -> None:
    day = Screens().connected().ordered("09:00", hold(), "done").tells(PLACED, SHOWN)
    day.ordered("09:05", hold(text="Kept for Kari Nordmann"), "done")
    day.tells(ENDED, PLACED, SHOWN).asks(ShowOn, TakeOff, ShowOn)


def test_a_meeting_that_begins_later_than_the_hold_ends_it() -> None:
    day = Screens().connected()
    meeting = BookingsListed(
        device=CODEC,
        bookings=(listed("webex-1", M1, "09:00", "10:00"),),
        asked_at=at("08:10"),
        covers_until=DAY + timedelta(days=2),
    )
    day.then("08:10", meeting).ordered("08:50", hold("08:50"), "done").tells(PLACED, SHOWN)
    day.obedient = False
    day.then("09:00", BookingStarted(device=CODEC, booking_id=BookingId("webex-1"), meeting_id=M1))
    assert day.fact.cause == "booking_started"


def test_a_hold_for_the_start_of_a_meeting_outlasts_that_start() -> None:
    day = Screens().connected()
    meeting = BookingsListed(
        device=CODEC,
        bookings=(listed("webex-1", M1, "09:00", "10:00"),),
        asked_at=at("08:10"),
        covers_until=DAY + timedelta(days=2),
    )
    day.then("08:10", meeting).ordered("08:50", hold("09:00"), "done").tells(PLACED)
    day.then("09:00", BookingStarted(device=CODEC, booking_id=BookingId("webex-1"), meeting_id=M1))
    day.tells(SHOWN)


def test_what_no_device_shows_fails() -> None:
    day = Screens().connected()
    day.obedient = False
    day.ordered("09:00", hold(), "done").tells(PLACED)
    refused = MessageRefused(
        device=CODEC, surface=Surface.SCREEN, feedback_id=day.feedback_id, why="no such command"
    )
    day.then("09:00:01", refused)
    assert day.fact.cause == "fjord-codec refused (screen): no such command"
    day.tells(FAILED)


def test_a_hold_that_nobody_could_see_fails_at_its_end() -> None:
    day = Screens().ordered("09:00", hold(), "done").until("09:15")
    assert (day.fact.kind, day.fact.at) == (FAILED, at("09:15"))
    assert day.fact.cause == "fjord-codec was not reached"


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (hold("09:00", "09:00"), "its end is not after its start"),
        (hold(ends="08:59"), "its end is not after its start"),
        (hold(ends="+1 09:01"), "longer than 24 hours"),
        (hold(text=" "), "no text"),
        (hold(text="x" * 256), "longer than 255"),
        (hold(answers=("a",) * 6), "up to five"),
        (hold(on=()), "no surface"),
        (hold(on=(Surface.SCHEDULER,)), "no device of the room has a scheduler"),
    ],
)
def test_what_cannot_be_held_is_refused_with_a_reason(order: PlaceHold, why: str) -> None:
    day = Screens().connected(surfaces=(Surface.SCREEN, Surface.LED)).ordered("09:00", order, "refused")
    assert why in (day.answer.reason or "")
    day.tells()


# ── screens ───────────────────────────────────────────────────────────────────────────────────────


def test_it_is_renewed_before_the_device_lets_it_lapse() -> None:
    day = Screens().connected().ordered("09:00", hold(ends="11:30"), "done").tells(PLACED, SHOWN)
    day.until("11:29").tells().asks(ShowOn, ShowOn, ShowOn)
    assert day.hold.showings[0].until == at("11:30")


def test_the_word_that_a_renewal_took_the_place_of_the_old_one_is_no_dismissal() -> None:
    day = (
        Screens().connected().ordered("09:00", hold(ends="11:30"), "done").until("09:58").asks(ShowOn, ShowOn)
    )
    cleared = PromptCleared(device=CODEC, feedback_id=day.feedback_id)
    day.then("09:58:01", cleared).until("09:58:40").asks()
    assert day.hold.showings[0].cleared == 0
    day.then("09:59", cleared).until("09:59:31").asks(ShowOn)


def test_it_comes_back_after_a_reconnect_and_after_a_restart_of_the_device() -> None:
    day = Screens().connected().ordered("09:00", hold(), "done").asks(ShowOn).tells(PLACED, SHOWN)
    day.then("09:01", DeviceLost(device=CODEC, why="gone")).connected("09:03").asks(ShowOn)
    day.then("09:05", UptimeRead(device=CODEC, uptime_s=30)).asks(ShowOn).tells()


def test_dismissed_it_comes_back_twice_and_not_a_third_time() -> None:
    day = Screens().connected().ordered("09:00", hold(), "done").asks(ShowOn)
    for clock, again in (("09:01", (ShowOn,)), ("09:03", (ShowOn,)), ("09:05", ())):
        day.then(clock, PromptCleared(device=CODEC, feedback_id=day.feedback_id)).asks()
        day.until(clock + ":31").asks(*again)
    day.connected("09:10").asks().until("09:15").asks()
    assert day.fact.kind is ENDED


def test_its_end_reaches_a_device_that_was_away_then() -> None:
    day = Screens().connected().ordered("09:00", hold(on=(Surface.SCREEN, Surface.LED)), "done")
    day.asks(ShowOn, Light).then("09:10", DeviceLost(device=CODEC, why="gone"))
    day.until("09:15").tells(PLACED, SHOWN, SHOWN, ENDED).connected("09:15:30").asks(TakeOff, RestoreLight)
    assert not any(each.showings for each in day.room.holds.values())


def test_a_light_is_put_right_however_late_the_device_comes_back() -> None:
    day = Screens().connected().then("08:01", LightModeRead(device=CODEC, mode="Off"))
    day.ordered("09:00", hold(on=(Surface.SCREEN, Surface.LED)), "done").asks(ShowOn, Light)
    name = day.feedback_id
    day.then("09:01", LightModeRead(device=CODEC, mode="Manual"))
    day.then("09:10", DeviceLost(device=CODEC, why="gone")).until("20:00").connected("20:00")
    assert [request for request in day.asked if isinstance(request, RestoreLight)] == [
        RestoreLight(device=CODEC, feedback_id=name, mode="Off")
    ]
    day.asks(RestoreLight)  # the screen has let the message lapse by itself


def test_a_device_that_does_not_answer_is_asked_again() -> None:
    day = Screens().connected()
    day.obedient = False
    day.ordered("09:00", hold(), "done").until("09:00:31").asks(ShowOn, ShowOn, ShowOn)
    day.ordered("09:00:31", CancelHold(hold=KARI), "done").until("09:01:02").asks(TakeOff, TakeOff, TakeOff)


def test_a_call_is_not_disturbed_unless_that_is_wanted() -> None:
    day = Screens().connected().then("08:59", CallsCounted(device=CODEC, calls=1))
    day.ordered("09:00", hold(on=(Surface.SCREEN, Surface.SCHEDULER)), "done")
    assert [r.surface for r in day.asked if isinstance(r, ShowOn)] == [Surface.SCHEDULER]
    day.asks(ShowOn).then("09:05", CallsCounted(device=CODEC, calls=0)).asks(ShowOn)
    bold = Screens(policy=Policy(disturb=True)).connected().then("08:59", CallsCounted(device=CODEC, calls=1))
    bold.ordered("09:00", hold(), "done").asks(ShowOn)


def test_somebody_elses_prompt_stays_and_ours_waits_for_it() -> None:
    theirs = FeedbackId("parking")
    day = Screens().connected().then("08:59", PromptDisplayed(device=CODEC, feedback_id=theirs))
    day.ordered("09:00", hold(), "done").asks()
    day.then("09:02", PromptCleared(device=CODEC, feedback_id=theirs)).asks(ShowOn)
    day.then("09:05", PromptDisplayed(device=CODEC, feedback_id=theirs, duration_s=60)).asks()
    day.until("09:05:59").asks().until("09:06").asks(ShowOn)


def test_leftovers_of_an_earlier_life_are_taken_off_and_other_agents_left_alone() -> None:
    day = Screens().connected()
    day.then("09:00", PromptDisplayed(device=CODEC, feedback_id=FeedbackId("roomd-roomd-0123456789abcdef")))
    day.asks(TakeOff)
    day.then("09:01", PromptDisplayed(device=CODEC, feedback_id=FeedbackId("roomd-b-0123456789abcdef")))
    day.asks()
    assert agent_of("roomd-oslo-2-0123456789abcdef") == "oslo-2"
    assert agent_of("parking") is None


def test_old_firmware_shows_it_once_for_screen_and_controller() -> None:
    day = Screens().connected(surfaces=(Surface.SCREEN,))
    day.ordered("09:00", hold(on=(Surface.CONTROLLER, Surface.SCREEN)), "done").asks(ShowOn)


def test_a_sleeping_device_is_woken_when_that_is_asked_for() -> None:
    day = Screens().connected().ordered("09:00", hold(wake=True, ends="11:00"), "done").asks(Wake, ShowOn)
    day.until("10:30").asks(ShowOn)


# ── restarts and clocks ───────────────────────────────────────────────────────────────────────────


def test_a_hold_survives_a_restart_and_ends_in_time_though_nobody_was_there() -> None:
    day = Screens().connected().ordered("09:00", hold(), "done").tells(PLACED, SHOWN).asks(ShowOn)
    day.restarts("10:30").until("10:30")
    assert (day.fact.at, day.fact.recovered) == (at("09:15"), True)
    day.tells(ENDED).connected("10:31").asks()  # the device let it lapse at its end
    early = Screens().connected().ordered("09:00", hold(), "done").restarts("09:05").connected("09:06")
    early.asks(ShowOn, ShowOn).until("09:15").asks(TakeOff)


def test_a_jump_of_the_clock_moves_what_the_device_was_given() -> None:
    day = Screens().connected().ordered("09:00", hold(ends="12:00"), "done").asks(ShowOn)
    day.now += timedelta(minutes=30)
    day.then("09:30", ClockStepped(by=timedelta(minutes=30)))
    assert day.hold.showings[0].until == at("10:30")
    assert day.hold.ends_at == at("12:00")


def test_a_room_from_a_disk_without_holds_is_read() -> None:
    assert msgspec.json.decode(b'{"id": "fjord"}', type=Room) == Room(id=RoomId("fjord"))


# ── commands ──────────────────────────────────────────────────────────────────────────────────────


def test_a_repeated_command_is_answered_and_not_done_again() -> None:
    day = Screens().connected().ordered("09:00", hold(), "done", command="x").tells(PLACED, SHOWN)
    day.ordered("09:01", hold(), "done", command="x").tells().asks(ShowOn)
    assert day.answers[0] == day.answers[1]
    day.restarts("09:02").ordered("09:03", hold(), "done", command="x").tells()


def book(starts: str = "10:00", minutes: int = 30) -> BookRoom:
    return BookRoom(starts_at=at(starts), duration=timedelta(minutes=minutes), title="Ad hoc")


def created(day: Screens) -> BookingCreated:
    asked = next(request for request in day.asked if isinstance(request, Book))
    return BookingCreated(
        device=asked.device,
        booking_id=BookingId("webex-7"),
        meeting_id=M1,
        starts_at=asked.starts_at,
        ends_at=asked.ends_at,
        request_id=asked.request_id,
    )


def test_a_booking_is_answered_when_the_calendar_has_named_it() -> None:
    day = Screens().connected().ordered("09:00", book(), "accepted")
    day.then("09:00:10", created(day))
    assert day.answer.status is AnswerStatus.DONE
    assert day.answer.result is not None
    assert day.answer.result["meeting_id"] == M1
    assert [fact.kind for fact in day.told[-2:]] == [FactKind.BOOKING_REQUESTED, FactKind.BOOKING_CONFIRMED]
    day.ordered("09:01", book("10:15"), "refused")
    assert "in the way" in (day.answer.reason or "")


def _declined(day: Screens) -> RoomEvent:
    asked = next(request for request in day.asked if isinstance(request, Book))
    return BookingFailed(device=CODEC, request_id=asked.request_id, cause="declined")


def _refused(day: Screens) -> RoomEvent:
    return OrderRefused(device=CODEC, command=CommandId("c1"), why="Booking not allowed")


@pytest.mark.parametrize("no", [_declined, _refused])
def test_a_booking_that_is_refused_fails_and_the_hold_with_it(no: Callable[[Screens], RoomEvent]) -> None:
    day = Screens().connected().ordered("09:00", hold(book=True), "accepted").tells(PLACED, SHOWN)
    day.then("09:00:20", no(day)).tells(FAILED).asks(Book, ShowOn, TakeOff)
    assert day.answer.status is AnswerStatus.FAILED
    assert [a.status for a in day.answers] == [AnswerStatus.ACCEPTED, AnswerStatus.FAILED]


def test_a_hold_that_is_booked_as_well_is_not_ended_by_its_own_booking() -> None:
    day = Screens().connected().ordered("09:00", hold("09:10", book=True, ends="09:30"), "accepted")
    day.then("09:00:05", created(day))
    assert day.answer.status is AnswerStatus.DONE
    day.until("09:29").tells(PLACED, SHOWN)


def test_a_booking_of_which_nobody_ever_speaks_is_given_up() -> None:
    day = Screens().connected().ordered("09:00", book(), "accepted")
    nothing = BookingsListed(
        device=CODEC, bookings=(), asked_at=at("09:01:30"), covers_until=DAY + timedelta(days=2)
    )
    day.then("09:01:30", nothing)
    assert day.answer.status is AnswerStatus.FAILED
    away = Screens().connected().ordered("09:00", book(), "accepted")
    away.then("09:00:01", DeviceLost(device=CODEC, why="gone")).until("09:10")
    assert away.answer.status is AnswerStatus.UNKNOWN


def test_a_booking_is_released_and_extended_when_the_device_says_so() -> None:
    day = Screens().connected().ordered("09:00", book(), "accepted")
    day.then("09:00:10", created(day))
    day.ordered("09:01", ExtendBooking(booking=M1, by=timedelta(minutes=15)), "accepted").asks(Book, Extend)
    day.then("09:01:01", OrderTaken(device=CODEC, command=CommandId("c2")))
    longer = BookingsListed(
        device=CODEC,
        bookings=(listed("webex-7", M1, "10:00", "10:45"),),
        asked_at=at("09:01:20"),
        covers_until=DAY + timedelta(days=2),
    )
    day.then("09:01:20", longer)
    assert day.answer.status is AnswerStatus.DONE
    day.ordered("09:02", ReleaseBooking(booking="webex-7"), "accepted").asks(Release)
    day.then(
        "09:02:02",
        BookingDeleted(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=M1, cause="declined"),
    )
    assert day.answer.status is AnswerStatus.DONE
    day.ordered("09:03", ReleaseBooking(booking="webex-7"), "refused")


def test_without_a_device_nothing_is_booked_and_nothing_listed() -> None:
    day = Screens().ordered("09:00", book(), "refused").ordered("09:00", Resync(), "refused")
    assert day.answer.reason == "no device of the room is connected"


def test_a_resync_is_done_when_every_device_has_listed() -> None:
    day = Screens(devices=(CODEC, PANEL)).connected().connected(device=PANEL)
    day.ordered("09:00", Resync(), "accepted").asks(ReadValues, ReadValues)
    for each, status in ((CODEC, AnswerStatus.ACCEPTED), (PANEL, AnswerStatus.DONE)):
        listing = BookingsListed(
            device=each, bookings=(), asked_at=at("09:00:01"), covers_until=DAY + timedelta(days=2)
        )
        day.then("09:00:02", listing)
        assert day.answer.status is status


def test_a_message_is_shown_without_facts_and_stands_back_before_a_hold() -> None:
    message = ShowMessage(text="The fire drill is at ten", duration=timedelta(minutes=30))
    day = Screens().connected().ordered("09:00", message, "accepted", "done").asks(Wake, ShowOn).tells()
    day.ordered("09:05", hold(), "done").asks(TakeOff, ShowOn)
    day.until("09:15").asks(TakeOff, Wake, ShowOn)
    day.ordered("09:20", ClearMessage(), "done").asks(TakeOff)
    day.ordered("09:21", hold(ends="09:30"), "done").ordered("09:22", message, "refused")


def test_nothing_is_wanted_after_the_end() -> None:
    day = Screens().connected().ordered("09:00", hold(), "done")
    assert wanted(day.room, at("09:14:59"))
    assert not wanted(day.room, at("09:15"))


# ── found by reading ──────────────────────────────────────────────────────────────────────────────


def test_a_message_that_waits_is_not_given_up_by_a_clock_that_is_set_back() -> None:
    message = ShowMessage(text="Lunch", duration=timedelta(minutes=30))
    day = Screens().ordered("09:00", message, "accepted")
    day.now -= timedelta(seconds=3)
    day.then("08:59:57", ClockStepped(by=timedelta(seconds=-3))).until("09:29:59")
    assert [answer.status for answer in day.answers] == [AnswerStatus.ACCEPTED]
    day.until("09:30:01")
    assert [answer.status for answer in day.answers] == [AnswerStatus.ACCEPTED, AnswerStatus.FAILED]


def test_a_booking_is_asked_for_in_the_seconds_and_minutes_of_devices() -> None:
    day = Screens().connected()
    odd = BookRoom(
        starts_at=at("10:00:07") + timedelta(microseconds=12),
        duration=timedelta(minutes=29, seconds=1),
    )
    day.ordered("09:00", odd, "accepted")
    asked = next(request for request in day.asked if isinstance(request, Book))
    (booking,) = day.room.bookings.values()
    assert (asked.starts_at, asked.ends_at) == (at("10:00:07"), at("10:30:07"))
    assert (booking.starts_at, booking.ends_at) == (asked.starts_at, asked.ends_at)


def test_one_booking_is_changed_by_one_command_at_a_time() -> None:
    day = Screens().connected().ordered("09:00", book(), "accepted")
    day.then("09:00:10", created(day))
    longer = ExtendBooking(booking=M1, by=timedelta(minutes=15))
    day.ordered("09:01", longer, "accepted").ordered("09:01:01", longer, "refused")
    assert "command c2 about this booking is under way" in (day.answer.reason or "")
    day.ordered("09:01:02", ReleaseBooking(booking=M1), "refused")


def test_a_renewal_that_is_refused_is_tried_again() -> None:
    day = Screens().connected().ordered("09:00", hold(ends="11:30"), "done").tells(PLACED, SHOWN).asks(ShowOn)
    day.obedient = False
    day.until("09:58").asks(ShowOn)
    no = MessageRefused(device=CODEC, surface=Surface.SCREEN, feedback_id=day.feedback_id, why="busy")
    day.then("09:58:01", no).tells()
    day.obedient = True
    day.until("09:59").asks(ShowOn).until("11:29").asks(ShowOn).tells()


def test_a_light_is_put_right_however_often_the_device_refuses() -> None:
    day = Screens().connected().ordered("09:00", hold(on=(Surface.LED,)), "done").asks(Light)
    day.obedient = False
    no = MessageRefused(device=CODEC, surface=Surface.LED, feedback_id=day.feedback_id, why="busy")
    day.until("09:15")
    for minute in range(20):
        day.then(f"09:{15 + minute}:30", no)
    assert len([request for request in day.asked if isinstance(request, RestoreLight)]) < 10
    day.then("09:40", LightModeRead(device=CODEC, mode="Manual"))
    day.obedient = True
    day.connected("09:50")
    restored = [request for request in day.asked if isinstance(request, RestoreLight)]
    assert restored[-1].mode == "Auto"
    assert not any(each.showings for each in day.room.holds.values())


def test_what_a_device_agreed_to_and_nobody_has_looked_for_is_unknown() -> None:
    day = Screens().connected().ordered("09:00", book(), "accepted")
    day.then("09:00:10", created(day)).ordered("09:01", ReleaseBooking(booking=M1), "accepted")
    day.then("09:01:01", OrderTaken(device=CODEC, command=CommandId("c2")))
    day.then("09:01:02", DeviceLost(device=CODEC, why="gone")).until("09:03")
    assert day.answer.status is AnswerStatus.UNKNOWN


def test_a_booked_hold_is_not_placed_anew_over_its_own_booking() -> None:
    day = Screens().connected().ordered("09:00", hold("09:10", ends="09:30", book=True), "accepted")
    day.then("09:00:05", created(day))
    day.ordered("09:01", hold("09:10", ends="09:30", book=True), "refused")
    assert "release its booking first" in (day.answer.reason or "")


def test_a_meeting_that_began_while_nobody_was_there_ends_the_hold_at_its_start() -> None:
    day = Screens().connected()
    meeting = BookingsListed(
        device=CODEC,
        bookings=(listed("webex-1", M1, "09:30", "10:30"),),
        asked_at=at("08:10"),
        covers_until=DAY + timedelta(days=2),
    )
    day.then("08:10", meeting).ordered("09:00", hold(ends="10:00"), "done").tells(PLACED, SHOWN)
    day.obedient = False
    day.restarts("10:05")
    again = DeviceConnected(
        device=CODEC, product="p", serial="s", firmware="ce26.4.1", transport="websocket", uptime_s=90_000
    )
    day.then("10:05", again)
    listing = BookingsListed(
        device=CODEC,
        bookings=(listed("webex-1", M1, "09:30", "10:30"),),
        asked_at=at("10:05"),
        covers_until=DAY + timedelta(days=2),
    )
    day.then("10:05:01", listing).until("10:06")
    ended = [fact for fact in day.told if isinstance(fact, HoldFact) and fact.kind is ENDED]
    assert [(fact.cause, fact.recovered) for fact in ended] == [("booking_started", True)]
    assert ended[0].at == at("09:30")


def test_an_ended_hold_that_comes_up_late_is_taken_off() -> None:
    day = (
        Screens().connected().ordered("09:00", hold(), "done").ordered("09:01", CancelHold(hold=KARI), "done")
    )
    day.asks(ShowOn, TakeOff)
    day.then("09:02", PromptDisplayed(device=CODEC, feedback_id=day.feedback_id)).asks(TakeOff)


def test_dismissed_right_after_it_came_back_it_counts_as_dismissed() -> None:
    day = Screens().connected().ordered("09:00", hold(ends="09:15"), "done").asks(ShowOn)
    cleared = PromptCleared(device=CODEC, feedback_id=day.feedback_id)
    day.then("09:01", cleared).until("09:01:30").asks(ShowOn).then("09:01:31", cleared)
    day.until("09:02:01").asks(ShowOn).then("09:02:02", cleared).until("09:14").asks()


def test_somebody_elses_prompt_is_remembered_over_a_restart() -> None:
    theirs = FeedbackId("parking")
    day = Screens().connected().then("08:59", PromptDisplayed(device=CODEC, feedback_id=theirs))
    day.ordered("09:00", hold(), "done").asks().restarts("09:00:10")
    day.connected("09:00:20", uptime_s=90_020).asks()
    day.until("09:05").asks(ShowOn)  # nobody heard whether it was cleared meanwhile: not for ever


def test_the_answer_says_on_which_surface_it_was_given() -> None:
    day = Screens().connected().ordered("09:00", hold(), "done")
    day.then(
        "09:01",
        PromptAnswered(device=CODEC, feedback_id=day.feedback_id, option=1, surface=Surface.CONTROLLER),
    )
    answered = next(f for f in day.told if isinstance(f, HoldFact) and f.kind is ANSWERED)
    assert answered.surface is Surface.CONTROLLER
