"""Which hosts a person means: addresses, ranges and names on a command line, or a table of rooms."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network

HTTPS_PORT = 443
MOST = 1024  # addresses in a run: a /22

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LABEL = r"[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.?")
_RANGE = re.compile(r"(\d+\.\d+\.\d+\.)(\d+)-((?:\d+\.){3})?(\d+)")
_PORT = re.compile(r"(.+?):(\d{1,5})")


class NotEnrollable(ValueError):
    """What was written names no devices; `whys` say where and what to write, one a line."""

    def __init__(self, *whys: str) -> None:
        super().__init__("\n".join(whys))
        self.whys = whys


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A host that may be a device, and what a person said of it."""

    host: str  # a name or an address, an IPv6 one without brackets
    port: int = HTTPS_PORT
    named: bool = True  # by itself, and not as one of a range
    where: str = ""  # "line 4" of a table
    room: str | None = None  # its id
    name: str | None = None  # of the room
    capacity: int | None = None
    calendar: Mapping[str, str] | None = None  # microsoft, google
    username: str | None = None
    password_file: str | None = None
    fingerprint: str | None = None  # as somebody read it at the device

    @property
    def place(self) -> tuple[str, int]:
        """Where it is, for telling two of them apart."""
        return self.host.casefold().rstrip("."), self.port

    @property
    def written(self) -> str:
        """As a configuration writes it."""
        return written(self.host, self.port)


def written(host: str, port: int) -> str:
    """`10.0.4.21`, `fjord.example.com:8443`, `[fd00::21]`."""
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port == HTTPS_PORT else f"{bracketed}:{port}"


# ── on a command line ─────────────────────────────────────────────────────────────────────────────


def candidates(words: Sequence[str]) -> tuple[Candidate, ...]:
    """Everybody who is meant, in order, each of them once; NotEnrollable, with all that is wrong.

    A word is a name, an address, `10.0.4.30-49`, `10.0.4.30-10.0.4.49` or `10.0.5.0/28`, each of them with or
    without a `:port` for all.
    """
    found: dict[tuple[str, int], Candidate] = {}
    whys: list[str] = []
    for word in words:
        try:
            for each in _meant(word.strip()):
                if each.named or each.place not in found:
                    found[each.place] = each
        except NotEnrollable as error:
            whys.extend(error.whys)
    if not whys and len(found) > MOST:
        whys.append(f"{len(found)} addresses are more than {MOST} (a /22): enrol them in several runs")
    if whys:
        raise NotEnrollable(*whys)
    return tuple(found.values())


def _meant(word: str) -> Iterator[Candidate]:
    text = re.sub(r"^https?://", "", word, flags=re.IGNORECASE)
    text = text.removesuffix("/") if text != word else text  # as a browser shows it
    body, port = _port(text)
    if (span := _RANGE.fullmatch(body)) is not None:
        yield from _range(word, span, port)
    elif "/" in body:
        yield from _network(word, body, port)
    else:
        yield Candidate(host=_host(word, body), port=port)


def _port(text: str) -> tuple[str, int]:
    """What stands before the port, and the port."""
    if text.startswith("[") and (closed := text.find("]")) > 0:
        rest = text[closed + 1 :]
        if not rest:
            return text[1:closed], HTTPS_PORT
        if (port := re.fullmatch(r":(\d{1,5})", rest)) is not None and _is_port(port[1]):
            return text[1:closed], int(port[1])
        return text, HTTPS_PORT
    found = _PORT.fullmatch(text)
    if found is not None and ":" not in found[1] and _is_port(found[2]):
        return found[1], int(found[2])
    return text, HTTPS_PORT


def _is_port(text: str) -> bool:
    return 0 < int(text) < 2**16


def _host(word: str, text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    if not _NAME.fullmatch(text) or re.fullmatch(r"[\d.]+", text):
        raise NotEnrollable(
            f'{word!r} is no host: write it like "10.0.4.21", "10.0.4.30-49", "10.0.5.0/28" or '
            '"fjord.example.com", with ":8443" behind it where it has a port of its own'
        )
    return text


def _range(word: str, span: re.Match[str], port: int) -> Iterator[Candidate]:
    try:
        first = IPv4Address(span[1] + span[2])
        last = IPv4Address((span[3] or span[1]) + span[4])
    except ValueError:
        raise NotEnrollable(f'{word!r} is no range: write it like "10.0.4.30-49"') from None
    many = int(last) - int(first) + 1
    if many < 1:
        raise NotEnrollable(f"{word!r} ends before it begins: write the lower address first")
    _bounded(word, many)
    for number in range(many):
        yield Candidate(host=str(first + number), port=port, named=many == 1)


def _network(word: str, text: str, port: int) -> Iterator[Candidate]:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise NotEnrollable(f'{word!r} is no network: write it like "10.0.5.0/28"') from None
    _bounded(word, network.num_addresses)
    for address in network.hosts():
        yield Candidate(host=str(address), port=port, named=network.num_addresses == 1)


def _bounded(word: str, many: int) -> None:
    if many > MOST:
        raise NotEnrollable(
            f"{word!r} has {many} addresses, and {MOST} (a /22) is the most in a run: name a smaller part"
        )


# ── a table ───────────────────────────────────────────────────────────────────────────────────────

COLUMNS = "host, room, name, capacity, microsoft, google, username, password_file, fingerprint"

_COLUMNS: Mapping[str, str] = {
    **{name.replace("_", ""): name for name in COLUMNS.split(", ")},
    "ip": "host",
    "ipaddress": "host",
    "address": "host",
    "hostname": "host",
    "id": "room",
    "roomid": "room",
    "roomname": "name",
    "seats": "capacity",
}
_FINGERPRINT = re.compile(r"(sha256( fingerprint)?[:=])?([0-9a-f]{2}:?){32}", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomTable:
    """A table of rooms, as a spreadsheet saves it."""

    candidates: tuple[Candidate, ...]
    unused: tuple[str, ...]  # columns that mean nothing to us


def read_table(content: bytes) -> RoomTable:
    """The hosts of a CSV file; NotEnrollable, with every line that is wrong.

    Its first line names the columns. As spreadsheets save it: `;`, `,` or tabs between, with or without a
    byte order mark, in UTF-8, UTF-16 or Windows-1252, with `sep=;` before everything, with empty lines.
    """
    text = _decoded(content)
    separator: str | None = None
    skipped = 0
    if (told := re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)) is not None:
        separator, text, skipped = told[1], text[told.end() :], 1
    if separator is None:
        head = next((line for line in text.splitlines() if line.strip()), "")
        separator = max(";,\t", key=head.count)
    try:
        rows = list(_rows(text, separator, skipped))
    except csv.Error as error:
        raise NotEnrollable(f"is no table: {error}. Save it as CSV") from None
    if not rows:
        raise NotEnrollable(f"is empty: its first line names the columns, of {COLUMNS}")
    (line, head_row), *body = rows
    columns, unused = _columns(line, head_row)
    return RoomTable(candidates=_candidates(columns, body), unused=unused)


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _rows(text: str, separator: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold anything, each with the line on which it ends."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    for row in reader:
        cells = [cell.replace("\xa0", " ").strip() for cell in row]
        if any(cells):
            yield reader.line_num + skipped, cells


def _columns(line: int, head: Sequence[str]) -> tuple[list[str | None], tuple[str, ...]]:
    """What each column is, and the names of those that are nothing to us."""
    columns: list[str | None] = []
    unused: list[str] = []
    for cell in head:
        plain = re.sub(r"[\s_-]+", "", cell).casefold()
        if plain in {"password", "passwort", "passord"}:
            raise NotEnrollable(
                f"line {line}: roomd takes no passwords from a table: write each into a file of its own, and "
                "the file's name into a column password_file"
            )
        columns.append(_COLUMNS.get(plain))
        if cell and plain not in _COLUMNS:
            unused.append(cell)
    if "host" not in columns:
        raise NotEnrollable(
            f'line {line}: there is no column "host": the first line names the columns, of {COLUMNS}'
        )
    twice = [name for name, times in Counter(columns).items() if name is not None and times > 1]
    if twice:
        raise NotEnrollable(f"line {line}: two columns are the {twice[0]}: keep one")
    return columns, tuple(unused)


def _candidates(
    columns: Sequence[str | None], rows: Sequence[tuple[int, list[str]]]
) -> tuple[Candidate, ...]:
    found: dict[tuple[str, int], Candidate] = {}
    whys: list[str] = []
    for line, cells in rows:
        said = {name: cell for name, cell in zip(columns, cells, strict=False) if name and cell}
        if any(cells[len(columns) :]):
            whys.append(f"line {line}: it has more cells than the first line has names")
            continue
        try:
            each = _candidate(f"line {line}", said)
        except NotEnrollable as error:
            whys.extend(error.whys)
            continue
        if (before := found.get(each.place)) is not None:
            whys.append(f"{each.where}: {each.written} stands on {before.where} already: keep one of them")
        else:
            found[each.place] = each
    if not whys and not found:
        whys.append("it has no line below the names of its columns")
    if not whys and len(found) > MOST:
        whys.append(f"{len(found)} lines are more than {MOST}: enrol them in several runs")
    if whys:
        raise NotEnrollable(*whys)
    return tuple(found.values())


def _candidate(where: str, said: Mapping[str, str]) -> Candidate:
    whys: list[str] = []
    hosts: tuple[Candidate, ...] = ()
    if "host" not in said:
        whys.append(f"{where}: the host is missing")
    else:
        try:
            hosts = candidates([said["host"]])
        except NotEnrollable as error:
            whys.extend(f"{where}: {why}" for why in error.whys)
    if len(hosts) > 1:
        whys.append(f"{where}: {said['host']!r} is many: a line has one host")
    if "room" in said and not _SLUG.fullmatch(said["room"]):
        whys.append(
            f"{where}: {said['room']!r} cannot be a room's id: use 1 to 63 of a-z, 0-9 and -, no - at the "
            "start; or leave it empty"
        )
    capacity = re.fullmatch(r"(\d{1,5})([.,]0+)?", said.get("capacity", "1"))
    if capacity is None or int(capacity[1]) < 1:
        whys.append(f"{where}: {said['capacity']!r} is no capacity: write a number, 1 or more")
    if "fingerprint" in said and not _FINGERPRINT.fullmatch(said["fingerprint"]):
        whys.append(f'{where}: the fingerprint is none: write "sha256:" and 64 digits of 0-9 and a-f')
    if whys or capacity is None:
        raise NotEnrollable(*whys)
    calendar = {service: said[service] for service in ("microsoft", "google") if service in said}
    return Candidate(
        host=hosts[0].host,
        port=hosts[0].port,
        where=where,
        room=said.get("room"),
        name=said.get("name"),
        capacity=int(capacity[1]) if "capacity" in said else None,
        calendar=calendar or None,
        username=said.get("username"),
        password_file=said.get("password_file"),
        fingerprint=None if "fingerprint" not in said else plain_fingerprint(said["fingerprint"]),
    )


def plain_fingerprint(text: str) -> str:
    """As a configuration writes it, however it was copied."""
    digits = re.sub(r"^sha256( fingerprint)?[:=]", "", text.strip().lower()).replace(":", "")
    return f"sha256:{digits}"
