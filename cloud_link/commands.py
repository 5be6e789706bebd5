"""Judges what comes as a command: an order for the core, or a refusal whose words its sender can act on."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any, Final, NoReturn, Protocol, TypeVar

from msgspec import DecodeError, Struct, ValidationError, convert
from msgspec.json import Decoder

from agent.core.model import BookingKey, RoomId, Surface
from agent.core.orders import (
    Answer,
    AnswerStatus,
    BookRoom,
    CancelHold,
    ClearMessage,
    CommandId,
    ExtendBooking,
    ExtendHold,
    HoldId,
    Order,
    PlaceHold,
    ReleaseBooking,
    Resync,
    ShowMessage,
)
from cloud_link import contract
from cloud_link.contract import AGENT_COMMANDS, ROOM_COMMANDS
from cloud_link.envelope import (
    BYTES_AT_MOST,
    SLASHES_AT_MOST,
    SLUG,
    Postage,
    Site,
    agent_stream,
    answers_of,
    room_stream,
)

PAYLOAD_AT_MOST: Final = 16 * 1024  # bytes; the longest that makes sense is a fifth of it
CORRELATION_AT_MOST: Final = 1024  # bytes
REASON_AT_MOST: Final = 500  # characters
EXPIRES_WITHIN: Final = timedelta(days=7)  # what is remembered must end some day
HOLD_AT_MOST: Final = timedelta(seconds=contract.HOLD_AT_MOST_S)
HOLD_BEGINS_WITHIN: Final = timedelta(days=31)
BOOKING_BEGINS_WITHIN: Final = timedelta(days=366)
NAMELESS: Final = "`command_id` is missing, or no text of 1 to 128 visible ASCII characters"
ANSWER_WAITS_AT_LEAST: Final = timedelta(
    hours=1
)  # at the broker, for whoever asked: they may be away a while


# ── values ────────────────────────────────────────────────────────────────────────────────────────


class Arrived(Protocol):
    """What came from the broker: `broker.Incoming`; or from the disk again: `inbox.Unfinished`."""

    @property
    def topic(self) -> str: ...  # noqa: D102 (as in MQTT)
    @property
    def payload(self) -> bytes: ...  # noqa: D102
    @property
    def retained(self) -> bool: ...  # noqa: D102
    @property
    def response_topic(self) -> str | None: ...  # noqa: D102
    @property
    def correlation_data(self) -> bytes | None: ...  # noqa: D102
    @property
    def expiry_s(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Whose commands these are."""

    site: Site
    rooms: Container[RoomId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Send acknowledged events of a room again, while they are kept. The agent's own business."""

    room: RoomId
    first: int
    last: int | None = None  # None: up to the newest
    epoch: str | None = None  # None: the present one


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Where the answers go."""

    stream: str  # one of answers: in order, and holding up nothing else
    topic: str
    postage: Postage


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Well formed, in time, for somebody whom we know."""

    id: CommandId
    room: RoomId | None  # None: the agent itself
    name: str
    order: Order | Replay
    requested_by: str | None
    received_at: datetime
    expires_at: datetime
    topic: str
    request: bytes  # as it came
    digest: bytes  # of what it asks for and of whom; not of its expiry
    back: Return


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Not to be done."""

    id: CommandId | None  # None: could not be read
    status: AnswerStatus  # refused or expired
    reason: str
    received_at: datetime
    expires_at: datetime  # up to when it may come again
    topic: str
    digest: bytes
    back: Return
    retained: bool = False  # it comes with every subscription: told once

    @property
    def answer(self) -> Answer:
        """What its sender is told."""
        return Answer(
            command=self.id or CommandId(""), status=self.status, reason=self.reason, at=self.received_at
        )


class _Wrong(Exception):
    """What is wrong with it, in words."""

    def __init__(self, reason: str, status: AnswerStatus = AnswerStatus.REFUSED) -> None:
        super().__init__(reason)
        self.reason = reason if len(reason) <= REASON_AT_MOST else reason[: REASON_AT_MOST - 1] + "…"
        self.status = status


# ── judging ───────────────────────────────────────────────────────────────────────────────────────


def judge(arrived: Arrived, *, now: datetime, rules: Rules) -> Command | Refused:
    """The order, or why it is refused. `now` is UTC; relative times in it count from then."""
    target = _target(arrived.topic, rules)
    said, unreadable = _read(arrived.payload)
    id_ = _id(said)
    digest = _digest(arrived.topic, said, arrived.payload)
    back = _back(target, arrived, rules)
    expires_at = _expiry(said, arrived, now)
    back = _return(back, arrived, lifetime=expires_at - now)
    try:
        if unreadable is not None or id_ is None:
            _refuse(unreadable or NAMELESS)
        request = _request(target, arrived, said, rules)
        _check_time(expires_at, now)
        order = _order(request, now, rules)
    except _Wrong as wrong:
        return Refused(
            id=id_,
            status=wrong.status,
            reason=wrong.reason,
            received_at=now,
            expires_at=min(max(expires_at, now), now + EXPIRES_WITHIN),
            topic=arrived.topic,
            digest=digest,
            back=back,
            retained=arrived.retained,
        )
    return Command(
        id=CommandId(request.command_id),
        room=target.room,
        name=target.name,
        order=order,
        requested_by=request.requested_by,
        received_at=now,
        expires_at=expires_at,
        topic=arrived.topic,
        request=arrived.payload,
        digest=digest,
        back=back,
    )


def _refuse(reason: str) -> NoReturn:
    raise _Wrong(reason)


def _request(target: _Target, arrived: Arrived, said: dict[str, Any], rules: Rules) -> contract.Command:
    if arrived.retained:
        raise _Wrong("commands are never retained: publish it without the retain flag, and clear the topic")
    _check_envelope(arrived, rules)
    model = _model(target, rules)
    _check_keys(said, model)
    return _decode(model, arrived.payload)


def _check_time(expires_at: datetime, now: datetime) -> None:
    if expires_at <= now:
        raise _Wrong(
            f"it expired at {_text(expires_at)}, and came at {_text(now)} by this agent's clock",
            AnswerStatus.EXPIRED,
        )
    if expires_at > now + EXPIRES_WITHIN:
        raise _Wrong(f"`expires_at` is more than {EXPIRES_WITHIN.days} days away")


# ── of whom, and where to answer ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    room: RoomId | None  # None: the agent, or no room of ours
    name: str
    asked: str  # "rooms/fjord": as the topic says, whether we know it or not


def _target(topic: str, rules: Rules) -> _Target:
    below = topic.removeprefix(f"{rules.site.base}/").split("/")
    if len(below) != 4 or below[2] != "commands":  # noqa: PLR2004 (rooms/fjord/commands/hold.place)
        return _Target(room=None, name="", asked="")
    whose, who, _, name = below
    room = RoomId(who) if whose == "rooms" and RoomId(who) in rules.rooms else None
    return _Target(room=room, name=name, asked=f"{whose}/{who}")


def _back(target: _Target, arrived: Arrived, rules: Rules) -> Return:
    own = agent_stream(rules.site.agent)
    stream = own if target.room is None else room_stream(target.room)  # no stream for what is no room
    topic = rules.site.responses(answers_of(stream))
    who = target.asked.removeprefix("rooms/")
    if target.asked.startswith("rooms/") and SLUG.fullmatch(who) is not None:
        topic = rules.site.responses(answers_of(target.asked))
    wished = arrived.response_topic
    if wished is not None and _unfit(wished, rules) is None:
        topic = wished
    return Return(stream=answers_of(stream), topic=topic, postage=Postage())


def _return(back: Return, arrived: Arrived, *, lifetime: timedelta) -> Return:
    """An answer may wait at the broker as long as the command was wanted, and an hour at least."""
    correlation = arrived.correlation_data
    if correlation is not None and len(correlation) > CORRELATION_AT_MOST:
        correlation = None
    wait = min(max(lifetime, ANSWER_WAITS_AT_LEAST), EXPIRES_WITHIN)
    postage = Postage(correlation=correlation, expiry_s=int(wait.total_seconds()))
    return Return(stream=back.stream, topic=back.topic, postage=postage)


def _unfit(topic: str, rules: Rules) -> str | None:
    """Why answers cannot go there: it must be the site's, and not a place where anything else is said."""
    base = f"{rules.site.base}/"
    if not topic.startswith(base):
        return f"Response Topic {topic[:100]!r} is not under {base}"
    if set(topic) & {"+", "#", "\0"} or "" in topic.split("/"):
        return (
            f"Response Topic {topic[:100]!r} is no topic to publish to: it has a wildcard or an empty level"
        )
    if len(topic.encode()) > BYTES_AT_MOST or topic.count("/") > SLASHES_AT_MOST:
        return (
            f"Response Topic {topic[:100]!r} is too long for some brokers: "
            f"at most {BYTES_AT_MOST} bytes and {SLASHES_AT_MOST} slashes"
        )
    below = topic.removeprefix(base).split("/")
    if below[0] in {"rooms", "agents"} and below[2:3] != ["responses"]:
        return (
            f"Response Topic {topic[:100]!r} is where other things are said: use one under "
            f"{base}{below[0]}/…/responses, or under another word than rooms and agents"
        )
    return None


def _check_envelope(arrived: Arrived, rules: Rules) -> None:
    wished, correlation = arrived.response_topic, arrived.correlation_data
    unfit = None if wished is None else _unfit(wished, rules)
    if unfit is not None:
        raise _Wrong(unfit)
    if correlation is not None and len(correlation) > CORRELATION_AT_MOST:
        raise _Wrong(f"Correlation Data of {len(correlation)} bytes: at most {CORRELATION_AT_MOST}")


def _model(target: _Target, rules: Rules) -> type[contract.Command]:
    if not target.asked:
        raise _Wrong("the topic is not one of rooms/…/commands/… or agents/…/commands/…")
    if target.asked == agent_stream(rules.site.agent):
        known: dict[str, type[contract.Command]] = {**AGENT_COMMANDS}
    elif target.room is None:
        raise _Wrong(f"{target.asked!r} is not known to agent {rules.site.agent}: check its configuration")
    else:
        known = {**ROOM_COMMANDS}
    model = known.get(target.name)
    if model is None:
        raise _Wrong(f"unknown command {target.name[:100]!r}: use one of {', '.join(known)}")
    return model


# ── what it says ──────────────────────────────────────────────────────────────────────────────────

_decode_any: Final = Decoder(dict[str, Any]).decode


def _read(payload: bytes) -> tuple[dict[str, Any], str | None]:
    """What it says; or nothing, and why it cannot be read."""
    if len(payload) > PAYLOAD_AT_MOST:
        return {}, f"{len(payload)} bytes: a command has at most {PAYLOAD_AT_MOST}"
    try:
        return _decode_any(payload), None
    except ValidationError:
        return {}, "the payload is JSON, but no object"
    except (DecodeError, UnicodeError) as error:
        return {}, f"the payload is no JSON: {error}"
    except RecursionError:
        return {}, "the payload is nested too deeply"


def _id(said: dict[str, Any]) -> CommandId | None:
    given = said.get("command_id")
    try:
        return CommandId(convert(given, contract.CommandIdText)) if not _ends_in_newline(given) else None
    except ValidationError:
        return None


def _ends_in_newline(value: object) -> bool:
    return isinstance(value, str) and value.endswith("\n")  # which `$` in a pattern lets pass


def _digest(topic: str, said: dict[str, Any], payload: bytes) -> bytes:
    """The same for the same wish, whoever wrote its JSON and however long it is good for."""
    wish = {key: value for key, value in said.items() if key != "expires_at"}
    try:
        body = json.dumps(wish, sort_keys=True).encode() if said else payload
    except RecursionError:
        body = payload
    return sha256(topic.encode() + b"\0" + body).digest()


def _expiry(said: dict[str, Any], arrived: Arrived, now: datetime) -> datetime:
    """The earlier of both, and now where nothing can be read of it: it is refused for that later."""
    bounds: list[datetime] = []
    if arrived.expiry_s is not None:
        bounds.append(now + min(timedelta(seconds=arrived.expiry_s), 2 * EXPIRES_WITHIN))
    try:
        bounds.append(_utc("expires_at", convert(said.get("expires_at"), contract.Instant)))
    except (ValidationError, _Wrong):
        return now
    return min(bounds)


def _check_keys(said: dict[str, Any], model: type[contract.Command]) -> None:
    """All that nobody knows, at once."""
    known = model.__struct_fields__
    unknown = [key for key in said if key not in known]
    kind = model.__annotations__["arguments"]
    arguments: type[Struct] = getattr(contract, kind) if isinstance(kind, str) else kind
    inner = said.get("arguments")
    if isinstance(inner, dict):
        unknown += [f"arguments.{key}" for key in inner if key not in arguments.__struct_fields__]
    if unknown:
        named = ", ".join(f"`{key[:60]}`" for key in unknown[:10])
        raise _Wrong(
            f"unknown: {named}; a command says {_listed(known)}, and this one's arguments are "
            f"{_listed(arguments.__struct_fields__)}"
        )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


@cache
def _decoder(model: type[contract.Command]) -> Decoder[contract.Command]:
    return Decoder(model)


def _decode(model: type[contract.Command], payload: bytes) -> contract.Command:
    try:
        return _decoder(model).decode(payload)
    except (DecodeError, UnicodeError, RecursionError) as error:
        words = str(error).replace("`$.", "`")
        if "enum" in words and "surfaces" in words:
            words += f": use {', '.join(Surface)}"
        raise _Wrong(words) from error


# ── what it asks for ──────────────────────────────────────────────────────────────────────────────

Value = TypeVar("Value")


def _order(request: contract.Command, now: datetime, rules: Rules) -> Order | Replay:
    match request:
        case contract.HoldPlace(arguments=place):
            return _place(place, now)
        case contract.HoldExtend(arguments=extend):
            ends_at = _utc("ends_at", extend.ends_at)
            _check_end(now, ends_at, now)
            return ExtendHold(hold=_hold(extend.hold_id), ends_at=ends_at)
        case contract.HoldCancel(arguments=cancel):
            return CancelHold(hold=_hold(cancel.hold_id))
        case contract.BookingBook(arguments=book):
            return _book(book, now)
        case contract.BookingExtend(arguments=longer):
            ends_at_or_none = None if longer.ends_at is None else _utc("ends_at", longer.ends_at)
            _exactly_one("ends_at", longer.ends_at, "by_min", longer.by_min)
            if ends_at_or_none is not None and ends_at_or_none <= now:
                raise _Wrong(f"`ends_at` {_text(ends_at_or_none)} is over: it is {_text(now)}")
            by = None if longer.by_min is None else timedelta(minutes=longer.by_min)
            return ExtendBooking(booking=_booking(longer), ends_at=ends_at_or_none, by=by)
        case contract.BookingRelease(arguments=release):
            return ReleaseBooking(booking=_booking(release))
        case contract.MessageShow(arguments=show):
            return ShowMessage(
                text=show.text,
                title=show.title,
                surfaces=_once(show.surfaces),
                duration=timedelta(seconds=show.duration_s),
            )
        case contract.MessageClear(arguments=clear):
            return ClearMessage(surfaces=_once(clear.surfaces or ()))
        case contract.RoomResync():
            return Resync()
        case contract.AgentReplay(arguments=replay):
            return _replay(replay, rules)
        case _:
            raise TypeError(type(request).__name__)  # a model of the contract that nobody has built


def _place(said: contract.HoldPlaceArguments, now: datetime) -> PlaceHold:
    _exactly_one("ends_at", said.ends_at, "duration_s", said.duration_s)
    starts_at = None if said.starts_at is None else _utc("starts_at", said.starts_at)
    begins_at = now if starts_at is None else starts_at
    if begins_at > now + HOLD_BEGINS_WITHIN:
        raise _Wrong(f"`starts_at` is more than {HOLD_BEGINS_WITHIN.days} days away")
    if said.ends_at is not None:
        ends_at = _utc("ends_at", said.ends_at)
    else:
        ends_at = begins_at + timedelta(seconds=said.duration_s or 0)
    _check_end(begins_at, ends_at, now)
    if len(set(said.answers)) < len(said.answers):
        raise _Wrong("`answers` has one of them twice: nobody could tell which was meant")
    return PlaceHold(
        hold=_hold(said.hold_id),
        text=said.text,
        title=said.title,
        starts_at=starts_at,
        ends_at=ends_at,
        surfaces=_once(said.surfaces),
        answers=said.answers,
        wake=said.wake,
        book=said.book,
    )


def _check_end(begins_at: datetime, ends_at: datetime, now: datetime) -> None:
    if ends_at <= begins_at:
        raise _Wrong(f"it would end at {_text(ends_at)}, before it begins at {_text(begins_at)}")
    if ends_at <= now:
        raise _Wrong(f"it would have ended at {_text(ends_at)}: it is {_text(now)}")
    if ends_at - begins_at > HOLD_AT_MOST:
        raise _Wrong("a hold lasts 24 hours at most: place it, and extend it later")


def _book(said: contract.BookingBookArguments, now: datetime) -> BookRoom:
    starts_at = _utc("starts_at", said.starts_at)
    duration = timedelta(minutes=said.duration_min)
    if starts_at > now + BOOKING_BEGINS_WITHIN:
        raise _Wrong(f"`starts_at` is more than {BOOKING_BEGINS_WITHIN.days} days away")
    if now - starts_at >= duration:
        raise _Wrong(f"it would be over already: it is {_text(now)}")
    return BookRoom(starts_at=starts_at, duration=duration, title=said.title, organizer=said.organizer)


def _replay(said: contract.AgentReplayArguments, rules: Rules) -> Replay:
    room = RoomId(said.room)
    if room not in rules.rooms:
        raise _Wrong(f"room {said.room!r} is not known to agent {rules.site.agent}")
    if said.last is not None and said.last < said.first:
        raise _Wrong(f"`last` {said.last} is before `first` {said.first}")
    return Replay(room=room, first=said.first, last=said.last, epoch=said.epoch)


def _booking(said: contract.BookingExtendArguments | contract.BookingReleaseArguments) -> str:
    named = [each for each in (said.key, said.booking_id, said.meeting_id) if each is not None]
    if len(named) != 1:
        raise _Wrong("name the booking by exactly one of `key`, `booking_id` and `meeting_id`")
    return BookingKey(named[0])


def _hold(said: str) -> HoldId:
    if _ends_in_newline(said):
        raise _Wrong("`hold_id` ends in a newline")
    return HoldId(said)


def _exactly_one(one: str, first: object, other: str, second: object) -> None:
    if (first is None) == (second is None):
        raise _Wrong(f"say exactly one of `{one}` and `{other}`")


def _once(values: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(dict.fromkeys(values))


def _utc(name: str, at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise _Wrong(f"`{name}` is beyond all calendars") from error


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
