"""A device that says again, over WebSocket, what `roomd record` heard one say."""

import asyncio
import contextlib
import json
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.simulator.certificates import Authority
from tests.simulator.language import METHOD_NOT_FOUND, encode

FORMAT: Final = "roomd recording"
VERSION: Final = 1
NOBODY_ASKS_AFTER_S: Final = 2.0  # roomd lists a second and a half after a hint, and others at once

Json = Mapping[str, Any]


class NoRecording(ValueError):
    """The file is no recording, or one of a format that is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """Something that the device said: an answer, a refusal or feedback."""

    at: float  # seconds since the recording began
    what: str  # "reply", "refusal" or "feedback"
    value: Any
    asked: str = ""  # what it answers


@dataclass(slots=True)
class Talk:
    """One conversation of a recording."""

    began_at: float
    transport: str = ""
    said: list[Said] = field(default_factory=list)
    over_at: float = math.inf  # inf: the recording breaks off
    lost: str | None = None  # the line broke: what kind of error it was


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of `roomd record`."""

    header: Json
    talks: Sequence[Talk]


def read(file: Path) -> Recording:
    """Reads a recording; one that breaks off in the middle of a line is read up to there."""
    with file.open(encoding="utf-8") as text:
        lines = list(_lines(text))
    header = lines[0] if lines else {}
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise NoRecording(f"{file} is no recording that can be replayed")
    talks: list[Talk] = []
    asked: dict[object, str] = {}
    for line in lines[1:]:
        at = float(line["at"])
        match line:
            case {"opened": transport}:
                talks.append(Talk(began_at=at, transport=transport))
                asked = {}
            case {"sent": call}:
                asked[call["id"]] = question(call["method"], call["params"])
            case {"feedback": tree}:
                talks[-1].said.append(Said(at, "feedback", tree))
            case {"reply": answer}:
                talks[-1].said.append(Said(at, "reply", answer.get("result"), asked.pop(answer["id"], "")))
            case {"refusal": answer}:
                talks[-1].said.append(Said(at, "refusal", answer, asked.pop(answer["id"], "")))
            case {"lost": kind} if talks and math.isinf(talks[-1].over_at):
                talks[-1].over_at, talks[-1].lost = at, kind
            case {"ended": _} if talks and math.isinf(talks[-1].over_at):
                talks[-1].over_at = at
            case _:
                pass  # another vain dial, or something that a newer version tells
    return Recording(header, talks)


def question(method: str, parameters: Json) -> str:
    """What is asked, so that the same question can be recognised."""
    return f"{method} {json.dumps(parameters, sort_keys=True)}"


class Answers:
    """What a device answered in one conversation: given again in its order, then the last one again."""

    def __init__(self, talk: Talk) -> None:
        self._by_question: defaultdict[str, list[Said]] = defaultdict(list)
        for said in talk.said:
            if said.asked:
                self._by_question[said.asked].append(said)

    def to(self, asked: str) -> Said | None:
        """The next answer; None where this was never asked."""
        answers = self._by_question.get(asked)
        if not answers:
            return None
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Replay:
    """Serves a recording at an address, in the pace in which it was said or `speed` times as fast.

    Each client hears the next of its conversations, and the last one again. Any user and password will do.
    """

    def __init__(
        self,
        file: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        self_signed: bool = True,
    ) -> None:
        self.recording: Final = read(file)
        if not self.recording.talks:
            raise NoRecording(f"{file} has no conversation")
        self.host: Final = host
        self.port = port
        self.identity: Final = Authority().identify(host, self_signed=True)
        self.served = 0  # conversations begun
        self.unknown: list[str] = []  # questions that nobody asked when it was recorded
        self._speed: Final = speed
        self._server: Server | None = None
        self._changed = asyncio.Event()
        self._over = 0

    @property
    def fingerprint(self) -> str:
        """Of the certificate: SHA-256 in hexadecimal."""
        return self.identity.fingerprint

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._converse,
            self.host,
            self.port,
            ssl=self.identity.context,
            select_subprotocol=_echo,
            compression=None,
            max_size=None,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def until_told(self, talks: int = 1, within_s: float = 10.0) -> None:
        """Waits until so many conversations have told all that they have to tell."""
        async with asyncio.timeout(within_s):
            while self._over < talks:
                self._changed.clear()
                await self._changed.wait()

    async def _converse(self, line: ServerConnection) -> None:
        talk = self.recording.talks[min(self.served, len(self.recording.talks) - 1)]
        self.served += 1
        visit = _Visit(talk, self._speed)
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(self._tell(line, visit), name="telling")
                with contextlib.suppress(ConnectionClosed):
                    async for message in line:
                        await line.send(self._answer(visit, json.loads(message)).decode())
                telling.cancel()

    async def _tell(self, line: ServerConnection, visit: "_Visit") -> None:
        with contextlib.suppress(ConnectionClosed):
            async for tree in visit.feedback():
                tell = {"jsonrpc": "2.0", "method": "xFeedback/Event", "params": tree}
                await line.send(encode(tell).decode())
        self._over += 1
        self._changed.set()
        if visit.talk.lost is not None:
            await line.close()

    def _answer(self, visit: "_Visit", call: Json) -> bytes:
        asked = question(call["method"], call.get("params", {}))
        said = visit.answer(asked)
        reply: dict[str, object] = {"jsonrpc": "2.0", "id": call.get("id")}
        if said is None:
            self.unknown.append(asked)
            reply["error"] = {"code": METHOD_NOT_FOUND, "message": "Nobody asked this when it was recorded"}
        elif said.what == "refusal":
            reply["error"] = {"code": said.value["code"], "message": said.value["message"]}
        else:
            reply["result"] = said.value
        return encode(reply)


class _Visit:
    """One client that hears one conversation again.

    Feedback waits for its time, and for the answers that came before it. A client of today may ask otherwise:
    an answer that nobody wants for a while is not waited for any longer.
    """

    def __init__(self, talk: Talk, speed: float) -> None:
        self.talk: Final = talk
        self._speed: Final = speed
        self._answers: Final = Answers(talk)
        self._waiting: Final = [said for said in talk.said if said.asked]  # for being asked, in order
        self._asked: Final = asyncio.Event()

    def answer(self, asked: str) -> Said | None:
        """The answer to a question; None where this was never asked."""
        said = self._answers.to(asked)
        if said in self._waiting:
            self._waiting.remove(said)
        self._asked.set()
        return said

    async def feedback(self) -> AsyncIterator[Json]:
        """What was told unasked, when it is time. Time begins with the first question."""
        loop = asyncio.get_running_loop()
        await self._asked.wait()
        began_at = loop.time()
        for number, said in enumerate(self.talk.said):
            if said.what == "feedback":
                await asyncio.sleep(began_at + self._rest_s(said.at) - loop.time())
                await self._catch_up(self.talk.said[:number])
                yield said.value
        if not math.isinf(self.talk.over_at):
            await asyncio.sleep(began_at + self._rest_s(self.talk.over_at) - loop.time())

    def _rest_s(self, at: float) -> float:
        return 0.0 if math.isinf(self._speed) else (at - self.talk.began_at) / self._speed

    async def _catch_up(self, before: Sequence[Said]) -> None:
        """Until what was answered before is answered, or nobody asks any more."""
        while self._waiting and self._waiting[0] in before:
            self._asked.clear()
            try:
                async with asyncio.timeout(NOBODY_ASKS_AFTER_S):
                    await self._asked.wait()
            except TimeoutError:
                while self._waiting and self._waiting[0] in before:
                    self._waiting.pop(0)


def _lines(text: Iterator[str]) -> Iterator[Json]:
    for line in text:
        try:
            value = json.loads(line)
        except ValueError:
            return
        if isinstance(value, dict):
            yield value


def _echo(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None
