"""One run of `roomd enroll`: knock, show keys, ask, log in, show devices, ask, write."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from tzlocal import get_localzone_name

from agent.candidates import Candidate, NotEnrollable, candidates, read_table
from agent.device_accounts import BROKER_AUTHORITY_FILE, BROKER_PASSWORD_FILE, Accounts
from agent.enrolling import TALKED, WRITTEN, Outcome, Round, Visit, changes, knock_at, mend, recognize
from agent.finds import count, difference, progress, say, shown, wipe
from agent.rewriting import need_replaceable, problems_of, replace_with, text_of
from agent.room_lines import (
    Addition,
    Change,
    Keys,
    NotWritable,
    Standing,
    Value,
    called,
    changed,
    lines_of,
    standing,
)
from agent.settings import read
from agent.terminal import DEFAULT, fail
from device_adapters.errors import CertificateRefused

SLUG = r"[a-z0-9][a-z0-9-]{0,62}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What was written on the command line."""

    file: Path
    room: str | None
    username: str | None
    password_file: Path | None
    ssh_port: int | None
    yes: bool
    fix: bool
    repin: bool
    dry_run: bool
    as_json: bool
    broker_ca: Path | None
    tables: Sequence[Change]  # of a first file, besides its rooms


def first_tables(
    site: str | None,
    timezone: str | None,
    broker: str | None,
    broker_username: str | None,
    broker_ca: Path | None,
) -> Sequence[Change]:
    """The tables that a first file has besides its rooms, as far as they were given."""
    head: list[Change] = []
    if site is not None:
        if not re.fullmatch(SLUG, site):
            fail(f"{site!r} cannot be a site's id: use 1 to 63 of a-z, 0-9 and -", os.EX_USAGE)
        head.append(Keys(table="site", keys={"id": site, "timezone": timezone or _zone_of_this_machine()}))
    elif timezone is not None:
        fail("--timezone goes with --site", os.EX_USAGE)
    if broker is not None:
        keys: dict[str, Value] = {"url": broker}
        if broker_username is not None:
            keys |= {"username": broker_username, "password_file": BROKER_PASSWORD_FILE}
        if broker_ca is not None:
            keys["ca_file"] = BROKER_AUTHORITY_FILE
        head.append(Keys(table="mqtt", keys=keys))
    elif broker_username is not None or broker_ca is not None:
        option = "--broker-ca" if broker_username is None else "--broker-username"
        fail(f"{option} goes with --broker", os.EX_USAGE)
    return head


def _zone_of_this_machine() -> str:
    return str(get_localzone_name() or "UTC")


def enrol(wishes: Wishes, words: Sequence[str], table: Path | None) -> None:
    """Enrol these hosts, and those of a table. Leaves with an exit code where not all of them could be."""
    if wishes.room is not None and not re.fullmatch(SLUG, wishes.room):
        fail(f"{wishes.room!r} cannot be a room's id: use 1 to 63 of a-z, 0-9 and -", os.EX_USAGE)
    with ExitStack() as stack:
        _Enrolment(wishes, stack).run(words, table)


class _Enrolment:
    """One run, from the words on the command line to the lines in the file."""

    def __init__(self, wishes: Wishes, stack: ExitStack) -> None:
        self._wishes = wishes
        self._before = text_of(wishes.file)
        if not wishes.dry_run:
            need_replaceable(wishes.file)
        self._text = self._before or ""
        self._there: Standing = standing(self._text)
        self._need_no_other_tables()
        self._accounts = Accounts(
            file=wishes.file,
            username=wishes.username,
            password_file=wishes.password_file,
            instead=wishes.fix and wishes.username is not None,
            there=self._there,
            stack=stack,
        )
        if wishes.broker_ca is not None:
            self._accounts.take_broker_authority(wishes.broker_ca)
        if not wishes.dry_run:
            self._accounts.need_broker_password(wishes.tables)

    def _need_no_other_tables(self) -> None:
        """A table that stands there already is changed there, and not from here."""
        stands = tomllib.loads(self._text)
        for change in self._wishes.tables:
            if isinstance(change, Keys) and isinstance(table := stands.get(change.table), dict):
                for key, value in change.keys.items():
                    if key in table and table[key] != value and key != "timezone":
                        where = f"{change.table}.{key} = {table[key]!r}"
                        fail(f"{self._wishes.file} says {where}: change it there", os.EX_USAGE)

    # ── the way ──

    def run(self, words: Sequence[str], table: Path | None) -> None:
        """All of it."""
        candidates = self._candidates(words, table)
        try:
            visits = asyncio.run(
                knock_at(
                    candidates,
                    self._there,
                    ssh_port=self._wishes.ssh_port,
                    file_of=self._file_of,
                    repin=self._wishes.repin,
                    progress=progress,
                )
            )
        except CertificateRefused as error:
            fail(str(error), os.EX_CONFIG)
        self._ask_whether_they_are_ours(visits)
        self._meet([visit for visit in visits if visit.outcome in TALKED])
        recognize(visits, self._there)
        changes = self._changes(visits)
        if not self._wishes.as_json:
            self._show(visits)
        failures = self._mend(visits)
        written = self._write(visits, changes)
        if self._wishes.as_json:
            self._tell(visits, written=written, failures=failures)
        if code := _code(visits, failures):
            raise typer.Exit(code)

    def _candidates(self, words: Sequence[str], table: Path | None) -> Sequence[Candidate]:
        found = {each.place: each for each in candidates(words)}
        if table is not None:
            try:
                rows = read_table(table.read_bytes())
            except OSError as error:
                fail(f"{table} cannot be read: {error.strerror}", os.EX_NOINPUT)
            except NotEnrollable as error:
                fail("\n".join(f"{table}: {why}" for why in error.whys), os.EX_DATAERR)
            if rows.unused:
                say(f"{table}: not used: {', '.join(rows.unused)}")
            found |= {each.place: each for each in rows.candidates}
        if not found:  # --fix alone
            places = [device.host for device in self._there.devices if device.host is not None]
            found = {place: Candidate(host=place[0], port=place[1]) for place in places}
            if not found:
                fail(f"{self._wishes.file} has no devices yet: name hosts", os.EX_USAGE)
        return list(found.values())

    def _file_of(self, name: str) -> Path:
        return self._wishes.file.parent / name

    def _ask_whether_they_are_ours(self, visits: Sequence[Visit]) -> None:
        """Show the keys of those that nobody vouches for; who is not taken for ours is not logged in to."""
        unknown = [visit for visit in visits if visit.outcome in TALKED and not visit.believed]
        if not unknown:
            return
        many = len(unknown)
        say(
            f"{count(many, 'device')} to get to know. {'They show' if many > 1 else 'It shows'} these keys "
            "(of the certificate, of SSH):\n"
        )
        for visit in unknown:
            was = " (other keys than in the file)" if visit.outcome is Outcome.REPINNED else ""
            keys = [key for key in (visit.knocked.fingerprint, visit.knocked.host_key) if key]
            say("\n".join([f"{visit.host}{was}", *(f"  {line}" for line in (*keys, *visit.notes))]))
        say("")
        whose = "these devices" if many > 1 else "this device"
        if self._yes(f"Are they right? {whose.capitalize()} will get the password.", default=False):
            for visit in unknown:
                visit.shown = True
        else:
            for visit in unknown:
                visit.outcome, visit.why = Outcome.UNTRUSTED, "nobody said that it is the device"

    def _yes(self, question: str, *, default: bool) -> bool:
        if self._wishes.yes:
            return True
        if not sys.stdin.isatty():
            fail("there is no terminal to ask: look at what is said, then give --yes", os.EX_USAGE)
        return bool(typer.confirm(question, default=default, err=True))

    def _meet(self, visits: Sequence[Visit]) -> None:
        if not visits:
            return
        for visit in visits:
            visit.notes.clear()  # of its keys, which were told
            visit.credential = self._accounts.credential(visit)
        round_ = Round(self._there, self._file_of, fix=self._wishes.fix, progress=progress)
        asyncio.run(round_.walk(visits))
        refused = [visit for visit in visits if visit.outcome is Outcome.REFUSED]
        if refused:
            untried = sum(visit.outcome is Outcome.UNTRIED for visit in visits)
            others = f" {count(untried, 'other')} not tried." if untried else ""
            user = refused[0].credential.username
            say(
                f"{', '.join(visit.host for visit in refused)}: the password of {user!r} was refused.{others}"
                " Mend user or password before the next run: devices lock an account after five refusals"
            )

    def _changes(self, visits: Sequence[Visit]) -> list[Change]:
        wishes = self._wishes
        usual = self._there.defaults.get("ssh_port", 22)
        found = changes(
            visits,
            self._text,
            self._there,
            room=wishes.room,
            login=self._accounts.keys,
            ssh_port=None if wishes.ssh_port in {None, usual} else wishes.ssh_port,
        )
        if not any(visit.introduction is not None and visit.outcome in TALKED for visit in visits):
            return []
        additions = called(self._text, [each for each in found if isinstance(each, Addition)])
        others: list[Change] = [each for each in found if not isinstance(each, Addition)]
        return [*wishes.tables, *(self._accounts.defaults() if additions else ()), *others, *additions]

    # ── what it says ──

    def _show(self, visits: Sequence[Visit]) -> None:
        wipe()
        console = Console(highlight=False, soft_wrap=False)
        for found in shown(visits):
            if isinstance(found, str):
                typer.echo(found)  # as one line, for whoever looks through it with grep
            else:
                console.print(found)

    def _tell(
        self, visits: Sequence[Visit], *, written: bool, failures: Mapping[str, Mapping[str, str]]
    ) -> None:
        nobody = 0
        for visit in visits:
            if visit.outcome is Outcome.NOBODY and not visit.candidate.named:
                nobody += 1
            else:
                typer.echo(json.dumps({**visit.told(), "not_set": failures.get(visit.host, {})}))
        typer.echo(json.dumps({"file": str(self._wishes.file), "written": written, "nobody": nobody}))

    # ── what it does ──

    def _mend(self, visits: Sequence[Visit]) -> Mapping[str, Mapping[str, str]]:
        """Set what devices lack, once a person has agreed; what was not taken, by host."""
        lacking = [visit for visit in visits if visit.needs and visit.outcome in TALKED]
        if not lacking:
            if self._wishes.fix and not self._wishes.as_json:
                say("nothing is to be set on the devices")
            return {}
        say("To be set on the devices, so that people are counted:")
        for need in dict.fromkeys(need for visit in lacking for need in visit.needs):
            of = [visit.host for visit in lacking if need in visit.needs]
            say(f"  {need.command}\n    {need.why}: {', '.join(of)}")
        if self._wishes.dry_run:
            return {}
        if not self._yes("Set it?", default=True):
            return {}
        refused = asyncio.run(mend(lacking, self._there, self._file_of, progress=progress))
        failures = {host: whys for host, whys in refused.items() if whys}
        for host, whys in failures.items():
            for path, why in whys.items():
                say(f"{host}: {path} is not set: {why}")
        done = len(lacking) - len(failures)
        if done:
            say(f"set on {count(done, 'device')}, and read back")
        return failures

    def _write(self, visits: Sequence[Visit], changes: Sequence[Change]) -> bool:
        wishes = self._wishes
        try:
            after = changed(self._text, changes)
        except NotWritable as error:
            for addition in (change for change in changes if isinstance(change, Addition)):
                typer.echo(lines_of(addition))
            raise NotWritable(f"{error}. Until then it is left as it is") from None
        many = sum(visit.outcome in WRITTEN and visit.introduction is not None for visit in visits)
        if after == self._text:
            if not wishes.as_json:
                say(f"{wishes.file}: nothing to write")
            return False
        if wishes.dry_run:
            if not wishes.as_json:
                typer.echo(difference(self._text, after))
            return False
        what = count(many, "device") if many else "the tables"
        if not self._yes(f"Write {what} into {wishes.file}?", default=True):
            say("nothing was written")
            return False
        kept = self._accounts.kept(changes, visits)
        with kept:
            replace_with(wishes.file, before=self._before, after=after)
        say(f"{wishes.file}: {what} written")
        zone = tomllib.loads(after).get("site", {}).get("timezone")
        made = wishes.tables and "site" not in self._there.tables
        if made and zone is not None and zone.rpartition("/")[2] in {"UTC", "GMT"}:
            say(f"the time zone is {zone}, as this machine's: mend it in [site] if the building has another")
        self._say_what_is_next(again="restart" if kept.handed_over else "reload")
        return True

    def _say_what_is_next(self, *, again: str) -> None:
        wishes = self._wishes
        problems = problems_of(wishes.file)
        options = {"site": "--site ID", "mqtt": "--broker mqtts://…"}
        missing = [problem.key for problem in problems if problem.key in options]
        if missing:
            tables = " and ".join(f"[{key}]" for key in missing)
            again = " ".join(options[key] for key in missing)
            say(f"still to do: {tables}. Write what is missing, or run this again with {again}")
        for problem in problems:
            if problem.key not in options:
                say(f"still to do: {problem.key}: {problem.what}. {problem.mend}")
        if problems:
            return
        named = "" if wishes.file == DEFAULT else f" --config {wishes.file}"
        if _daemon_runs(wishes.file):
            say(f"roomd is running: `systemctl {again} roomd` makes it read the file")
        elif Path("/run/systemd/system").is_dir() and not named:
            say("next: `roomd doctor`, `systemctl start roomd`, `roomd rooms --follow`")
        else:
            say(f"next: `roomd doctor{named}`, then `roomd run{named}`")


def _daemon_runs(file: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            line.connect(str(read(file).socket))
        except OSError:
            return False
    return True


def _code(visits: Sequence[Visit], failures: Mapping[str, Mapping[str, str]]) -> int:
    """The exit code of the worst that became of those who were meant."""
    outcomes = {
        visit.outcome for visit in visits if visit.candidate.named or visit.outcome is not Outcome.NOBODY
    }
    named = {visit.outcome for visit in visits if visit.candidate.named}
    if failures or outcomes & {Outcome.REFUSED, Outcome.CHANGED, Outcome.UNTRUSTED, Outcome.UNTRIED}:
        return os.EX_NOPERM
    if Outcome.FAILED in outcomes or named & {Outcome.NOBODY, Outcome.STRANGER}:
        return os.EX_UNAVAILABLE
    return os.EX_OK
