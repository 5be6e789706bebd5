"""Sets a report as a document: a file of its own that needs nothing else, or the page of trends."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from agent.report import Report
from agent.report_words import Figure, Rows, Section, figures, headline, recorded, sections
from agent.signs import printable

STYLE: Final = Path(__file__).parent / "page" / "trends.css"
FOLDED_ROWS: Final = 25  # more of them are folded up
_SHUT: Final = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)

Shown = Callable[[Section], str]  # a plot, as it is put into the document


def document(report: Report, plots: Mapping[str, str]) -> str:
    """The report as one HTML file, its plots in it; nothing is fetched from anywhere."""

    def drawn(section: Section) -> str:
        svg = plots[section.name].replace(
            'aria-hidden="true"', f'role="img" aria-label="{_safe(section.plot)}"'
        )
        return f'<div class="plot">{svg}</div>'

    title = _safe(f"Rooms of {report.site}: {headline(report)}")
    return (
        '<!doctype html>\n<html lang="en-GB"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{_SHUT}'
        f"<title>{title}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f'<body class="report"><header class="head"><h1>Rooms of {_safe(report.site)}</h1>'
        f"<p>{_safe(_capital(headline(report)))}</p></header>\n"
        f"<main>{_body(report, drawn)}</main></body></html>\n"
    )


def fragment(report: Report, *, asked: Mapping[str, list[str]]) -> str:
    """The same for the page, which has the plots as pictures; `asked` is the query that leads to them."""
    query = urlencode(asked, doseq=True)
    query = f"?{query}" if query else ""

    def linked(section: Section) -> str:
        return (
            f'<div class="plot"><img src="/trends/{section.name}.svg{_safe(query)}" '
            f'alt="{_safe(section.plot)}"></div>'
        )

    address = f"/trends/rooms.csv{_safe(query)}"
    table = f'<p class="take"><a href="{address}" download>Every room as a table (CSV)</a></p>'
    return f'<p class="which">{_safe(_capital(headline(report)))}</p>{_body(report, linked)}{table}'


def _body(report: Report, shown: Shown) -> str:
    told = recorded(report)
    notice = f'<p class="notice">{_safe(told)}</p>' if told else ""
    if report.recorded_since is None:
        return notice
    tiles = "".join(_tile(each) for each in figures(report))
    return f'{notice}<dl class="figures">{tiles}</dl>' + "".join(
        _section(section, shown) for section in sections(report)
    )


def _tile(figure: Figure) -> str:
    return (
        f'<div class="figure"><dt>{_safe(figure.name)}</dt><dd><strong>{_safe(figure.value)}</strong>'
        f"<span>{_safe(figure.beside)}</span></dd></div>"
    )


def _section(section: Section, shown: Shown) -> str:
    words = "".join(f"<p>{_safe(each)}</p>" for each in section.says)
    plot = shown(section) if section.plot else ""
    tables = "".join(_table(each) for each in section.tables if each.rows)
    return (
        f'\n<section class="told" aria-labelledby="told-{section.name}"><h2 id="told-{section.name}">'
        f"{_safe(section.title)}</h2>{words}{plot}{tables}</section>"
    )


def _table(rows: Rows) -> str:
    head = "".join(f'<th scope="col">{_safe(each)}</th>' for each in rows.head)
    body = "".join(f"<tr>{_cells(row, rows.words)}</tr>" for row in rows.rows)
    table = (
        f'<div class="wide" tabindex="0" role="region" aria-label="{_safe(rows.title)}">'
        f'<table class="words-{rows.words}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
    many = len(rows.rows)
    opened = "" if many > FOLDED_ROWS else " open"
    count = f" ({many:,})" if many > FOLDED_ROWS else ""
    return f'<details class="table"{opened}><summary>{_safe(rows.title)}{count}</summary>{table}</details>'


def _cells(row: tuple[str, ...], words: int) -> str:
    first, *rest = row
    cells = [f'<th scope="row">{_safe(first)}</th>']
    for place, cell in enumerate(rest, 1):
        cells.append(f"<td>{_safe(cell)}</td>" if place >= words else f'<td class="word">{_safe(cell)}</td>')
    return "".join(cells)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _safe(text: str) -> str:
    return html.escape(printable(text))
