"""Draws a report's plots as SVG that can be read without colour, by day and by night."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from unicodedata import east_asian_width

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from agent.core.week import DAYS
from agent.report import Report, RoomSums, Span, Sums

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]  # left, low, width, height

WORKDAYS: Final = 5  # that are shown also where nothing happened on them
MOST_ROOMS: Final = 15  # in one plot: the tables have them all
RANKED_EACH: Final = 8  # of the busiest and of the idlest
MOST_LABELS: Final = 9  # below a plot, before they run into each other
MOST_BARS: Final = 26  # weeks
MOST_FIGURES: Final = 20  # weeks that have their number beside the mark
LONGEST_NAME: Final = 24  # small letters
WIDTH_IN: Final = 8.0
ROW_IN: Final = 0.34
ABOVE_IN: Final = 0.36  # the legend
BELOW_IN: Final = 0.5  # the axis and what it is
RIGHT_IN: Final = 0.08
SIGN_IN: Final = 0.086  # of a name, on average
STRONGER: Final = (0.45, 0.12, 0.28, 0.48, 0.88)  # so that the number on it can be read, by day and by night
DOUBTFUL: Final = 0.5  # of it is not known: what is known says little
ENOUGH_BOOKED_S: Final = 2 * 3600  # of a weekday's hour: a share of less has its number, and no tone

INK, LOW, HAIR, EDGE = "#1b1f1d", "#59615d", "#dfe1dc", "#84908a"
CARD, IN_USE, GHOST, UNKNOWN = "#fefefe", "#835000", "#a5302a", "#565d5a"
TONES: Final[Mapping[str, str]] = {  # as the page calls them
    INK: "ink",
    LOW: "low",
    HAIR: "hair",
    EDGE: "edge",
    CARD: "card",
    IN_USE: "in_use",
    GHOST: "booked",
    UNKNOWN: "unknown",
}
BY_NIGHT: Final[Mapping[str, str]] = {
    "ink": "#e8ece9",
    "low": "#a1aaa5",
    "hair": "#2b312e",
    "edge": "#707b75",
    "card": "#1a1e1c",
    "in_use": "#f0c26c",
    "booked": "#ff9c8f",
    "unknown": "#adb5b1",
}
FONTS: Final = "Inter, system-ui, 'DejaVu Sans', sans-serif"
_STYLE: Final[Any] = {
    "axes.edgecolor": EDGE,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "hatch.linewidth": 1.1,
    "legend.edgecolor": "none",
    "legend.facecolor": "none",
    "legend.labelcolor": INK,
    "svg.fonttype": "none",  # words stay words: to be found, read aloud, and enlarged
    "text.color": INK,
    "text.parse_math": False,  # a room may be called by any sign
    "xtick.color": EDGE,
    "xtick.labelcolor": INK,
    "ytick.color": EDGE,
    "ytick.labelcolor": INK,
}


# ── what is drawn ─────────────────────────────────────────────────────────────────────────────────


def ghosts(report: Report) -> str:
    """Bookings to which nobody came, by weekday and hour: numbers on a ground as strong as they are high."""

    def cell(sums: Sums) -> _Cell | None:
        if not sums.judged and not sums.unknown:
            return None
        doubtful = (sums.unjudged_share or 0.0) > DOUBTFUL
        words = str(sums.ghosts) if sums.judged else "?"
        return _Cell(value=sums.ghosts, words=words, doubtful=doubtful)

    return _by_hour(report, "ghosts", cell, "the stronger the tone, the more bookings nobody came to")


def empty(report: Report) -> str:
    """Of the time that was booked, the share in which nobody was there, by weekday and hour."""

    def cell(sums: Sums) -> _Cell | None:
        if not sums.booked_s:
            return None
        share = sums.empty_share or 0.0
        doubtful = sums.booked_unknown_s > sums.booked_s * DOUBTFUL
        value = share if sums.booked_s >= ENOUGH_BOOKED_S else 0.0
        return _Cell(value=value, words="?" if doubtful else f"{share:.0%}", doubtful=doubtful)

    return _by_hour(
        report, "empty", cell, "the stronger the tone, the more of the booked time nobody was there"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """An hour of a weekday, as it is shown."""

    value: float
    words: str
    doubtful: bool  # mostly, nobody knows


def _by_hour(report: Report, name: str, cell: Callable[[Sums], _Cell | None], stronger: str) -> str:
    hours = report.shown_hours
    days = [[cell(sums) for sums in day] for day in report.grid]
    rows = [weekday for weekday, day in enumerate(days) if weekday < WORKDAYS or any(day)]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.set_axis_off()  # a tick costs more than a word
        axes.set_xlim(hours.start - 0.5, hours.stop - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        _cells(axes, {(hour, row): days[weekday][hour] for row, weekday in enumerate(rows) for hour in hours})
        for row, weekday in enumerate(rows):
            axes.text(hours.start - 0.6, row, DAYS[weekday], ha="right", va="center")
        for hour in hours:
            axes.text(hour, len(rows) - 0.4, f"{hour:02}", ha="center", va="top")
        axes.text(
            (hours.start + hours.stop - 1) / 2, len(rows) + 0.2, "hour of the day", ha="center", va="top"
        )
        _legend(
            figure,
            [
                Patch(facecolor=GHOST, edgecolor="none", label=stronger),
                Patch(facecolor="none", edgecolor=UNKNOWN, hatch="////", label="mostly not known"),
            ],
        )

    return _svg(draw, name, ABOVE_IN + BELOW_IN + ROW_IN * len(rows), left_in=0.45)


def _cells(axes: Axes, cells: Mapping[tuple[int, int], _Cell | None]) -> None:
    """By hour and row, each on a ground as strong as its value is high."""
    most = max((each.value for each in cells.values() if each is not None), default=0.0)
    grounds: defaultdict[int | None, list[Box]] = defaultdict(list)
    for (hour, row), cell in cells.items():
        level = _level(cell, most)
        grounds[level].append((hour - 0.47, row - 0.45, 0.94, 0.9))
        if cell is not None:
            colour = CARD if level == len(STRONGER) - 1 else INK
            words = axes.text(hour, row, cell.words, ha="center", va="center", fontsize=9, color=colour)
            if cell.doubtful:
                words.set_bbox({"facecolor": CARD, "edgecolor": "none", "pad": 1.5})
    for level, boxes in grounds.items():
        if level is None:
            _draw_boxes(axes, boxes, {**_NOT_KNOWN, "linewidth": 0.5})
        else:
            tone = GHOST if level else HAIR
            _draw_boxes(axes, boxes, {"facecolor": tone, "edgecolor": "none", "alpha": STRONGER[level]})


def _level(cell: _Cell | None, most: float) -> int | None:
    """How strong its ground is; None where the number says little."""
    if cell is None:
        return 0
    if cell.doubtful:
        return None
    return math.ceil(cell.value / most * (len(STRONGER) - 1)) if most else 0


def too_big(report: Report) -> str:
    """Seats as an open bar, people as there usually are as a filled one, the most ever as a diamond."""
    shown = report.too_big[:MOST_ROOMS]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        seats = [each.room.capacity or 0 for each in shown]
        usual = [each.usual_people or 0 for each in shown]
        peaks = [each.sums.people_peak for each in shown]
        for lengths, look in ((seats, _OPEN), (usual, _FILLED)):
            bars = [(0.0, row - 0.31, length, 0.62) for row, length in enumerate(lengths)]
            _draw_boxes(axes, bars, {**look, "linewidth": 1.2})
        axes.plot(peaks, range(len(shown)), linestyle="none", **_mark("D", INK))
        for row, (has, most, peak) in enumerate(zip(seats, usual, peaks, strict=True)):
            axes.text(max(has, peak) + 0.3, row, f"{most} of {has}", va="center", fontsize=9, color=INK)
        axes.set_xlim(0, max((*seats, *peaks), default=1) * 1.12 + 1)
        _rows(axes, shown)
        axes.set_xlabel("people and seats")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(
            figure,
            [
                Patch(facecolor=IN_USE, label="people in nine of ten hours, at most"),
                Line2D([], [], linestyle="none", label="people ever", **_mark("D", INK)),
                Patch(facecolor="none", edgecolor=EDGE, label="seats"),
            ],
        )

    return _svg(draw, "too-big", ABOVE_IN + BELOW_IN + ROW_IN * len(shown), left_in=_names_in(shown))


def busiest(report: Report) -> str:
    """The busiest and the idlest rooms: working hours in use, empty, and not known."""
    every = report.ranked
    split = min(RANKED_EACH, (len(every) + 1) // 2)
    shown = (*every[:split], *every[len(every) - min(RANKED_EACH, len(every) - split) :])

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _shares(axes, [each.sums for each in shown], lambda row, left, share: (left, row - 0.33, share, 0.66))
        for row, each in enumerate(shown):
            axes.text(101.5, row, f"{_percent(each.sums.use_of_known)}", va="center", fontsize=9, color=INK)
        if len(every) > len(shown):
            axes.axhline(split - 0.5, color=EDGE, linestyle=(0, (2, 3)), linewidth=1)
        axes.set_xlim(0, 108)
        axes.set_xticks(range(0, 101, 25), [f"{each}%" for each in range(0, 101, 25)])
        _rows(axes, shown)
        axes.set_xlabel("working hours")
        _legend(figure, _use_legend())

    return _svg(draw, "busiest", ABOVE_IN + BELOW_IN + ROW_IN * len(shown), left_in=_names_in(shown))


def weeks(report: Report) -> str:
    """Week over week: how the working hours went, and to how many bookings nobody came."""
    spans = report.weeks
    places = range(len(spans))

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        if len(spans) > MOST_BARS:
            _band(above, spans)
        else:
            sums = [span.sums for span in spans]
            _shares(above, sums, lambda place, low, share: (place - 0.37, low, 0.74, share))
            above.set_xlim(-0.5, len(spans) - 0.5)
        above.set_ylim(0, 100)
        above.set_yticks(range(0, 101, 25), [f"{each}%" for each in range(0, 101, 25)])
        above.set_ylabel("working hours")
        _line(below, spans, lambda sums: sums.ghost_share, "o", "-", GHOST)
        _line(below, spans, lambda sums: sums.unjudged_share, "x", (0, (2, 2)), UNKNOWN)
        most = max(
            (share for span in spans for share in (span.sums.ghost_share, span.sums.unjudged_share) if share),
            default=0.0,
        )
        top = min(100.0, max(10.0, most * 135))
        below.set_ylim(0, top)
        below.yaxis.set_major_formatter(lambda value, _: f"{value:.0f}%")
        below.locator_params(axis="y", nbins=4)
        below.set_ylabel("bookings")
        every = -(-len(spans) // MOST_LABELS)
        below.set_xticks(
            places[::every], [f"{span.since:%d %b}{'' if span.whole else '*'}" for span in spans[::every]]
        )
        below.set_xlabel("week from … (* not a whole week)")
        figure.align_ylabels()
        _legend(
            figure,
            [
                *_use_legend(),
                Line2D([], [], label="nobody came", **_mark("o", GHOST), color=GHOST),
                Line2D(
                    [],
                    [],
                    label="cannot be judged",
                    **_mark("x", UNKNOWN),
                    color=UNKNOWN,
                    linestyle=(0, (2, 2)),
                ),
            ],
            columns=5,
        )

    return _svg(draw, "weeks", 4.6, left_in=0.8)


PLOTS: Final[Mapping[str, Callable[[Report], str]]] = {
    "ghosts": ghosts,
    "empty": empty,
    "too-big": too_big,
    "busiest": busiest,
    "weeks": weeks,
}


def draw_all(report: Report, names: Iterable[str] = PLOTS) -> Mapping[str, str]:
    """Every plot by its name, or those of `names`; of what there is nothing to see, none."""
    if report.recorded_since is None:
        return {}
    nothing = {"too-big": not report.too_big, "busiest": not report.ranked, "weeks": not report.weeks}
    return {name: PLOTS[name](report) for name in names if not nothing.get(name, False)}


# ── how it is drawn ───────────────────────────────────────────────────────────────────────────────


def _line(
    axes: Axes,
    spans: Sequence[Span],
    share: Callable[[Sums], float | None],
    marker: str,
    dashes: str | tuple[int, tuple[int, int]],
    colour: str,
) -> None:
    told = [
        (place, value * 100) for place, span in enumerate(spans) if (value := share(span.sums)) is not None
    ]
    if not told:
        return
    axes.plot(
        *zip(*told, strict=True), color=colour, linestyle=dashes, **_mark(marker, colour), clip_on=False
    )
    if len(told) <= MOST_FIGURES and marker == "o":
        for place, value in told:
            axes.annotate(
                f"{value:.0f}",
                (place, value),
                textcoords="offset points",
                xytext=(0, 6),
                ha="center",
                fontsize=9,
            )


def _shares(axes: Axes, every: Sequence[Sums], box: Callable[[int, float, float], Box]) -> None:
    """Of each a bar: in use, empty, and not known; `box` is a part of it, by its place, begin and length."""
    parts = [_parts(sums) for sums in every]
    for part, look in enumerate((_FILLED, _OPEN, _NOT_KNOWN)):
        boxes = [
            box(place, sum(shares[:part]), shares[part]) for place, shares in enumerate(parts) if shares[part]
        ]
        _draw_boxes(axes, boxes, {**look, "linewidth": 0.8})


def _parts(sums: Sums) -> tuple[float, float, float]:
    """Of a hundred working hours: in use, empty, not known; nothing of each where there are none."""
    in_use, idle, unknown = ((share or 0.0) * 100 for share in (sums.use, sums.idle, sums.unknown_share))
    return in_use, idle, unknown


def _draw_boxes(axes: Axes, boxes: Sequence[Box], look: Mapping[str, Any]) -> None:
    """All that look the same as one shape, which is drawn in a fraction of the time."""
    corners = [
        corner
        for left, low, width, height in boxes
        for corner in (
            (left, low),
            (left + width, low),
            (left + width, low + height),
            (left, low + height),
            (left, low),
        )
    ]
    if boxes:
        axes.add_artist(PathPatch(Path(corners, _BOX * len(boxes)), **look))


_FILLED: Final[Mapping[str, Any]] = {"facecolor": IN_USE, "edgecolor": IN_USE}
_OPEN: Final[Mapping[str, Any]] = {"facecolor": "none", "edgecolor": EDGE}
_NOT_KNOWN: Final[Mapping[str, Any]] = {"facecolor": "none", "edgecolor": UNKNOWN, "hatch": "////"}
_BOX: Final = (Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY)


def _band(axes: Axes, spans: Sequence[Span]) -> None:
    """As bars that touch each other, of which there are too many to be drawn one by one."""
    places = [place - 0.5 for place in range(len(spans) + 1)]
    parts = [_parts(span.sums) for span in spans]
    low = [0.0] * len(spans)
    for part, look in enumerate((_FILLED, _OPEN, _NOT_KNOWN)):
        high = [sum(shares[: part + 1]) for shares in parts]
        axes.fill_between(places, [*low, low[-1]], [*high, high[-1]], step="post", linewidth=0.8, **look)
        low = high


def _use_legend() -> list[Patch]:
    looks = (("in use", _FILLED), ("empty", _OPEN), ("not known", _NOT_KNOWN))
    return [Patch(label=label, **look) for label, look in looks]


def _mark(marker: str, colour: str) -> dict[str, Any]:
    return {
        "marker": marker,
        "markersize": 6.5,
        "markerfacecolor": CARD,
        "markeredgecolor": colour,
        "markeredgewidth": 1.6,
    }


def _rows(axes: Axes, rooms: Sequence[RoomSums]) -> None:
    axes.yaxis.set_visible(False)  # a tick costs more than a word
    axes.set_ylim(len(rooms) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    beside = axes.get_yaxis_transform()
    for row, each in enumerate(rooms):
        axes.text(-0.008, row, _short(each.room.name), ha="right", va="center", transform=beside)


def _names_in(rooms: Sequence[RoomSums]) -> float:
    return 0.2 + SIGN_IN * max((_breadth(_short(each.room.name)) for each in rooms), default=0.0)


def _short(name: str) -> str:
    name = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in name)
    if _breadth(name) <= LONGEST_NAME:
        return name
    while _breadth(name) > LONGEST_NAME - 1:
        name = name[:-1]
    return f"{name}…"


def _breadth(name: str) -> float:
    """Of small letters; those of East Asia are as broad as they are high."""
    return sum(1.65 if east_asian_width(sign) in "WF" else 1.25 if sign.isupper() else 1.0 for sign in name)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _legend(figure: Figure, handles: Sequence[Patch | Line2D], *, columns: int = 3) -> None:
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncols=columns, fontsize=9, borderaxespad=0
    )


def _svg(draw: Callable[[Figure], None], name: str, height_in: float, *, left_in: float) -> str:
    """The plot, to be set into a document; its tones are the document's, if that has them."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # signs that the font to measure with does not have
        mpl.rcdefaults()  # whatever the user's own matplotlibrc says
        mpl.rcParams.update(_STYLE)
        mpl.rcParams["svg.hashsalt"] = name
        figure = Figure(figsize=(WIDTH_IN, height_in))
        figure.subplots_adjust(
            left=left_in / WIDTH_IN,
            right=1 - RIGHT_IN / WIDTH_IN,
            bottom=BELOW_IN / height_in,
            top=1 - ABOVE_IN / height_in,
            hspace=0.12,
        )
        FigureCanvasSVG(figure)
        draw(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _toned(out.getvalue())


def _toned(text: str) -> str:
    _, _, inside = text.partition("<svg ")
    head, _, body = inside.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    body = body.replace('<style type="text/css">*{stroke-linejoin: round; stroke-linecap: butt}</style>', "")
    body = re.sub(
        r' id="(?:figure|axes|patch|text|line2d|legend|matplotlib\.axis|xtick|ytick|PatchCollection)_\d+"',
        "",
        body,
    )
    body = re.sub(r"'DejaVu Sans'(?:, [^;\"]*)?", FONTS, body)
    body = re.sub(r"#[0-9a-f]{6}\b", lambda found: _tone(found[0]), body)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{box[0] if box else ""} stroke-linejoin="round" aria-hidden="true" focusable="false">{body}'
    )


def _tone(colour: str) -> str:
    return f"var(--{TONES[colour]}, {colour})" if colour in TONES else colour


def alone(svg: str) -> str:
    """A plot as a file of its own, with its tones by day and by night."""
    day = "".join(f"--{name}:{colour};" for colour, name in TONES.items())
    night = "".join(f"--{name}:{colour};" for name, colour in BY_NIGHT.items())
    style = f"<style>svg{{{day}}}@media (prefers-color-scheme:dark){{svg{{{night}}}}}</style>"
    head, end, body = svg.partition(">")
    return f"{head}{end}{style}{body}"
