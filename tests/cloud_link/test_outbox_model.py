"""A model of the outbox: nothing accepted is lost or reordered, unless a gap record says so."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cloud_link import outbox
from cloud_link.database import BALLAST, FILE, Connection, Database, Limits, open_database, reset_told
from cloud_link.outbox import Budget, Dropped, Posted
from tests.cloud_link.stand import AGENT_STREAM, TELLER, append, seal

T = TypeVar("T")
STREAMS = ("rooms/fjord", "rooms/lake", "rooms/fell")
KINDS = ("booking.started", "device.lost", "occupancy.changed")
LIMITS = Limits(budget_bytes=600 * 1024, ballast_bytes=0, gather_s=0.0)
EAGER = Budget(no_diagnostics=0.02, no_superseded=0.02, no_oldest=0.3, oldest_until=0.1, replay_s=-1.0)


class OutboxModel(RuleBasedStateMachine):
    """Beside the real outbox: a list per stream of what was accepted, and what left it for a reason."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="outbox-model-"))
        self.epochs = 0
        self.pending: dict[str, list[Posted]] = {}
        self.settled: dict[str, int] = {}
        self.missing: set[str] = set()  # ids that a gap record must name
        self.numbers: dict[tuple[str, str], int] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def new_epoch(self) -> str:
        self.epochs += 1
        return f"e{self.epochs}"

    async def open(self) -> None:
        self.opening: AbstractAsyncContextManager[Database] = open_database(
            self.directory, limits=LIMITS, new_epoch=self.new_epoch
        )
        self.database = await self.opening.__aenter__()

    async def close(self) -> None:
        await self.opening.__aexit__(None, None, None)

    def teardown(self) -> None:
        self.run(self.close())
        self.runner.close()
        shutil.rmtree(self.directory)

    def accept(self, posted: list[Posted]) -> None:
        for one in posted:
            epoch = one.envelope.id.rpartition("-")[0]
            key = (one.envelope.stream, epoch)
            assert one.envelope.number == self.numbers.get(key, 0) + 1, "numbers are gapless within an epoch"
            self.numbers[key] = one.envelope.number
            self.pending.setdefault(one.envelope.stream, []).append(one)

    def dropped(self, dropped: Dropped) -> None:
        for stream, waiting in self.pending.items():
            gone = [one for one in waiting if one.place in dropped.places]
            self.missing |= {one.envelope.stream + one.envelope.id for one in gone if stream != AGENT_STREAM}
            self.pending[stream] = [one for one in waiting if one.place not in dropped.places]
        self.accept(list(dropped.told))

    # ── what may happen

    @initialize()
    def start(self) -> None:
        self.run(self.open())

    @rule(
        wanted=st.lists(
            st.tuples(st.sampled_from(STREAMS), st.sampled_from(KINDS), st.integers(0, 600)), max_size=12
        )
    )
    def append(self, wanted: list[tuple[str, str, int]]) -> None:
        seals = [seal(stream, kind, "x" * length) for stream, kind, length in wanted]

        async def work() -> list[Posted]:
            return await append(self.database, seals)

        self.accept(self.run(work()))

    @rule(wanted=st.lists(st.sampled_from(STREAMS), min_size=1, max_size=5))
    def fail_to_append(self, wanted: list[str]) -> None:
        def bad(tx: Connection) -> None:
            outbox.append(tx, [seal(stream) for stream in wanted], recorded=outbox.moment_now())
            raise LookupError

        async def work() -> None:
            failing, good = self.database.submit(bad), append(self.database, [seal(STREAMS[0])])
            results = await asyncio.gather(failing, good, return_exceptions=True)
            assert isinstance(results[0], LookupError)
            assert isinstance(results[1], list)
            self.accept(results[1])

        self.run(work())

    @rule(stream=st.sampled_from((*STREAMS, AGENT_STREAM)), count=st.integers(1, 8))
    def settle(self, stream: str, count: int) -> None:
        done = self.pending.get(stream, [])[:count]
        if done:
            place = done[-1].place
            self.run(self.database.write(lambda tx: outbox.settle(tx, {stream: place})))
            self.pending[stream] = self.pending[stream][count:]
            self.settled[stream] = place

    @rule(stream=st.sampled_from(STREAMS))
    def bury(self, stream: str) -> None:
        waiting = self.pending.get(stream, [])
        if waiting:
            now = outbox.moment_now()

            def work(tx: Connection) -> Dropped:
                return outbox.dead_letter(
                    tx, waiting[0], code=0x99, reason="refused", teller=TELLER, recorded=now
                )

            self.settled[stream] = waiting[0].place
            self.dropped(self.run(self.database.write(work)))

    @rule()
    def keep_house(self) -> None:
        now = outbox.moment_now()
        kept = self.run(
            self.database.write(
                lambda tx: outbox.keep_house(tx, budget=EAGER, under_way={}, teller=TELLER, now=now),
                ahead=True,
            )
        )
        self.dropped(kept.dropped)

    @rule()
    def restart(self) -> None:
        self.run(self.close())
        self.run(self.open())
        assert self.database.opened.reset is None

    @rule()
    def crash(self) -> None:
        """The files as they are at this moment go on in another place."""
        copy = Path(tempfile.mkdtemp(prefix="outbox-model-"))
        for path in self.directory.iterdir():
            if path.name != BALLAST:
                shutil.copy(path, copy / path.name)
        self.run(self.close())
        shutil.rmtree(self.directory)
        self.directory = copy
        self.run(self.open())
        assert self.database.opened.reset is None

    @rule(harm=st.sampled_from(["wal", "index", "garbage"]))
    def damage(self, harm: str) -> None:
        def root(tx: Connection) -> int:
            query = "SELECT rootpage FROM sqlite_schema WHERE name = 'outbox_by_stream'"
            return int(tx.execute(query).fetchone()[0])

        page = self.run(self.database.write(root))
        self.run(self.close())
        path = self.directory / FILE
        match harm:
            case "wal":
                (self.directory / "roomd.in-use").touch()  # as if it had not been closed
            case "index":
                with path.open("r+b") as file:
                    file.seek((page - 1) * 4096)
                    file.write(b"\xa5" * 4096)
            case _:
                path.write_bytes(b"garbage" * 1000)
        self.run(self.open())
        reset = self.database.opened.reset
        assert reset is not None
        self.run(self.database.write(reset_told))  # else it would be told again after the next start
        if harm == "garbage":
            self.pending.clear()
            self.missing.clear()
        else:
            assert reset.salvaged == sum(map(len, self.pending.values()))

    # ── what always holds

    @invariant()
    def everything_accepted_is_there_in_order(self) -> None:
        if not hasattr(self, "database"):
            return

        def read(tx: Connection) -> dict[str, list[Posted]]:
            return {
                head.stream: outbox.pending(tx, head.stream, after=0, limit=10_000)
                for head in outbox.heads(tx)
            }

        found = self.run(self.database.write(read))
        for stream in {*found, *self.pending}:
            assert found.get(stream, []) == self.pending.get(stream, [])

    @invariant()
    def everything_dropped_is_named(self) -> None:
        if not hasattr(self, "database"):
            return

        def read(tx: Connection) -> list[tuple[str, str, int, int, int]]:
            query = (
                "SELECT stream, epoch, first_number, last_number, dropped FROM gaps "
                "WHERE told_place IS NOT NULL"
            )
            return list(tx.execute(query))

        gaps = self.run(self.database.write(read))
        assert sum(gap[4] for gap in gaps) >= len(self.missing)
        for one in self.missing:
            assert any(
                one.startswith(stream + epoch + "-") and first <= int(one.rpartition("-")[2]) <= last
                for stream, epoch, first, last, _ in gaps
            )
        for record in self.pending.get(AGENT_STREAM, []):
            assert len(json.loads(json.loads(record.envelope.payload)["body"])) == 6


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
