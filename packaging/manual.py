"""Manual pages: roomd(1) from the command line itself, roomd.toml(5) from docs/configuration.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from command_tree import Command, Switch
from markdown_it import MarkdownIt
from markdown_it.token import Token

EXIT_CODES = (
    ("0", "it went well"),
    ("2", "a command line that nobody understands"),
    ("64", "a value on the command line that cannot be"),
    ("65", "what was asked for is refused, or a file is not what it should be"),
    ("69", "the daemon, or whom it asked, does not answer"),
    ("73", "the daemon cannot start here: the text says why"),
    ("74", "nobody knows what became of it"),
    ("75", "not now: it expired, or the same may go well a little later"),
    ("76", "it was tried, and failed"),
    ("78", "the configuration cannot be used: the text says where, and the mend"),
)
FILES = (
    ("/etc/roomd/roomd.toml", "the configuration: roomd.toml(5)"),
    ("/etc/roomd/credentials/", "secrets, a file each; for root, and handed on by systemd"),
    ("/var/lib/roomd/", "the database: rooms, and what is not delivered yet"),
    ("/run/roomd/", "where the daemon is asked"),
    (
        "/usr/share/doc/roomd/",
        "how to install, enrol, examine and operate it; an example of the configuration",
    ),
)


def command_page(tree: Command, *, version: str, at: datetime) -> str:
    """roomd(1)."""
    lines = [
        _title("ROOMD", 1, version, at),
        ".SH NAME",
        "roomd \\- keeps the conversation with a building's Cisco room devices",
        ".SH SYNOPSIS",
        *(line for command in tree.all() if command.stands_alone for line in _usage(command)),
        ".SH DESCRIPTION",
        *map(_plain, tree.help),
        "Only answers go to standard output.",
        ".SH COMMANDS",
    ]
    for command in tree.all():
        if not command.path:
            continue
        first, *more = command.help
        lines += [f".SS roomd {_plain(' '.join((*command.path, *command.arguments)))}", _plain(first)]
        lines += [line for paragraph in more for line in (".PP", _plain(paragraph))]
        for switch in command.switches:
            if switch.names[0] != "--help":
                lines += [".TP", _switch(switch), _plain(switch.help)]
    lines += [".SH EXIT STATUS", *_terms(EXIT_CODES), ".SH FILES", *_terms(FILES)]
    lines += [".SH SEE ALSO", ".BR roomd.toml (5),", ".BR systemctl (1),", ".BR journalctl (1)"]
    return "\n".join(lines) + "\n"


def configuration_page(markdown: str, *, version: str, at: datetime) -> str:
    """roomd.toml(5)."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    lines = [
        _title("ROOMD.TOML", 5, version, at),
        ".SH NAME",
        "roomd.toml \\- the configuration of roomd",
        ".SH DESCRIPTION",
        *_blocks(tokens),
        ".SH SEE ALSO",
        ".BR roomd (1)",
    ]
    return "\n".join(lines) + "\n"


# ── roff ──────────────────────────────────────────────────────────────────────────────────────────


def _title(name: str, section: int, version: str, at: datetime) -> str:
    return f'.TH {name} {section} "{at.astimezone(UTC):%Y-%m-%d}" "roomd {version}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")


def _plain(text: str) -> str:
    """A line of text, whatever it begins with."""
    text = _escaped(text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _usage(command: Command) -> list[str]:
    words = " ".join(["roomd", *command.path])
    return [f".B {_plain(words)}", f"[options] {_plain(' '.join(command.arguments))}".rstrip(), ".br"]


def _switch(switch: Switch) -> str:
    names = ", ".join(f"\\fB{_escaped(name)}\\fR" for name in switch.names)
    return names if switch.value is None else f"{names} \\fI{_escaped(switch.value)}\\fR"


def _terms(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    for term, text in pairs:
        yield from (".TP", f".B {_plain(term)}", _plain(text))


# ── Markdown, as far as our page has it ───────────────────────────────────────────────────────────


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    row: list[str] = []
    head: list[str] = []
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        match token.type:
            case "heading_open" if after is not None and token.tag != "h1":
                yield f'.SH "{_bare(after)}"'
            case "paragraph_open" if not token.hidden:
                yield ".PP"
            case "list_item_open":
                yield '.IP "\\(bu" 2'
            case "inline" if token.level == 1 and not _in_heading(tokens, token):
                yield _inline(token)
            case "inline" if token.level > 1 and not _in_cell(tokens, token):
                yield _inline(token)
            case "fence":
                yield from (".PP", ".nf", ".RS")
                yield from (_plain(line) for line in token.content.splitlines())
                yield from (".RE", ".fi")
            case "thead_open":
                row, head = [], []
            case "tr_open":
                row = []
            case "th_open" | "td_open" if after is not None:
                row.append(_inline(after).removeprefix("\\&"))
            case "thead_close":
                head = row
            case "tr_close" if head:
                yield from _entry(row, head)
            case _:
                pass


def _entry(row: Sequence[str], head: Sequence[str]) -> Iterator[str]:
    """A row of a table: first the term, last its meaning, and between them its value unless told."""
    first, *between, last = row
    said = ", ".join(
        f"{name}: {cell}" if name == "default" and not cell.startswith("needed") else cell
        for name, cell in zip(head[1:-1], between, strict=True)
        if cell
    )
    yield ".TP"
    yield f"{first} ({said})" if said else first
    yield last or "\\&"


def _in_heading(tokens: Sequence[Token], token: Token) -> bool:
    return tokens[tokens.index(token) - 1].type == "heading_open"


def _in_cell(tokens: Sequence[Token], token: Token) -> bool:
    return tokens[tokens.index(token) - 1].type in {"th_open", "td_open"}


def _bare(token: Token) -> str:
    return "".join(child.content for child in token.children or () if child.content).replace('"', "")


def _inline(token: Token) -> str:
    text = ""
    for child in token.children or ():
        match child.type:
            case "text":
                text += _escaped(child.content)
            case "code_inline":
                text += f"\\fB{_escaped(child.content)}\\fR"
            case "strong_open":
                text += "\\fB"
            case "em_open":
                text += "\\fI"
            case "strong_close" | "em_close":
                text += "\\fR"
            case "softbreak" | "hardbreak":
                text += "\n"
            case _:
                pass
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.split("\n"))
