"""Which link a meeting is joined by, and that nobody passes for Webex, Teams, Meet or Zoom who is not."""

import re
import re._parser as parser  # type: ignore[import-not-found, unused-ignore]
import sys
from collections.abc import Callable
from types import FrameType
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud_link.calendars import joins
from cloud_link.calendars.joins import LINK_CHARACTERS, TEXT_CHARACTERS, Join, Platform

TEAMS = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_ZjBk%40thread.v2/0"
    "?context=%7b%22Tid%22%3a%22a8990e1f%22%2c%22Oid%22%3a%2284bd8158%22%7d"
)
WEBEX = "https://acme.webex.com/acme/j.php?MTID=m0123456789abcdef"
MEET = "https://meet.google.com/abc-defg-hij"
ZOOM = "https://acme.zoom.us/j/98765432101?pwd=Qm9hdA.1"
LINKS = {
    Platform.TEAMS: (
        TEAMS,
        "https://teams.microsoft.com:443/l/meetup-join/19:meeting_Zj@thread.v2/0",
        "https://gov.teams.microsoft.us/l/meetup-join/19%3agcch/0",
        "https://dod.teams.microsoft.us/l/meetup-join/19%3adod/0",
        "https://teams.microsoft.com/meet/2345678901234?p=AbCdEf12",
        "https://teams.live.com/meet/9345678901234?p=AbCdEf12",
    ),
    Platform.WEBEX: (
        WEBEX,
        "https://acme.webex.com/acme-en/k2/j.php?MTID=t1234",
        "https://acme.webex.com/meet/kari.nordmann",
        "https://acme.webex.com/join/kari",
        "http://acme.webex.com/meet/kari@example.com",
        "https://webex.com/meet/kari",
        "https://acme.webex.com/wbxmjs/joinservice/sites/acme/meeting/download/0123abcd?launchApp=true",
        "https://meetings.webex.com/collabs/meetings/join?uuid=M0123-ABCD",
        "https://acme.webex.com/webappng/sites/acme/meeting/info/0123abcd?isPopupRegisterView=true",
    ),
    Platform.MEET: (
        MEET,
        "https://meet.google.com/_meet/abc-defg-hij?ijlm=1",
        "https://meet.google.com/lookup/abcdefg123",
        "http://meet.google.com/abc-defg-hij?authuser=0",
    ),
    Platform.ZOOM: (
        ZOOM,
        "https://zoom.us/my/kari.nordmann",
        "https://us02web.zoom.us/w/123?tk=abc",
        "https://zoom.us/s/123456789",
        "https://acme.zoom.us/wc/join/123456789",
        "https://app.zoom.us/wc/123456789/join",
        "https://zoom-x.de/j/123456789",
        "https://acme.zoom.com.cn/j/123456789",
        "https://www.zoomgov.com/j/1601234567",
        "https://events.zoom.us/ejl/AbCd0123",
    ),
}
ALL = [Join(platform=platform, link=link) for platform, links in LINKS.items() for link in links]
POSERS = (
    "https://webex.com.evil.io/meet/kari",
    "https://evilwebex.com/meet/kari",
    "https://evil.io/webex.com/meet/kari",
    "https://evil.io/?https://acme.webex.com/meet/kari",
    "https://evil.io/https://acme.webex.com/meet/kari",
    "https://acme.webex.com@evil.io/meet/kari",
    "https://evil.io@acme.webex.com/meet/kari",
    "https://evil.io\\@acme.webex.com/meet/kari",
    "https://acme.webex.com:8443/meet/kari",
    "https://teams.microsoft.com.evil.io/l/meetup-join/19",
    "https://xteams.microsoft.com/l/meetup-join/19",
    "https://evil.teams.microsoft.com/l/meetup-join/19",
    "https://meet.google.com.evil.io/abc-defg-hij",
    "https://nomeet.google.com/abc-defg-hij",
    "https://notzoom.us/j/123",
    "https://zoom.us.evil.io/j/123",
    "https://zoom.us./j/123",
    "https://zoom%2eus/j/123",
    "https://zооm.us/j/123",  # noqa: RUF001 (Cyrillic, which is the point)
    "https://[zoom.us]/j/123",
    "https://zoom.us:x/j/123",
    "ftp://zoom.us/j/123",
    "javascript://zoom.us/j/123",
    "//zoom.us/j/123",
)
NOT_TO_JOIN = (
    "https://www.webex.com/downloads.html",
    "https://help.webex.com/en-us/article/nwtulzs",
    "https://acme.webex.com/acme/j.php",
    "https://acme.webex.com/acme/globalcallin.php?MTID=m1",
    "https://acme.webex.com/webappng/sites/acme/meeting/home",
    "https://teams.microsoft.com/l/channel/19%3a",
    "https://teams.microsoft.com/meet/123",
    "https://teams.microsoft.com/l/meetup-join/",
    "https://aka.ms/JoinTeamsMeeting",
    "https://meet.google.com/",
    "https://meet.google.com/landing",
    "https://tel.meet/abc-defg-hij?pin=1",
    "https://zoom.us/u/abcdef",
    "https://support.zoom.us/hc/en-us/articles/201362033",
    "https://zoom.us/pricing",
)


def safe(link: str) -> str:
    """As Microsoft's Safe Links wraps it."""
    return (
        "https://eur01.safelinks.protection.outlook.com/?url="
        + quote(link, safe="")
        + "&data=05%7C02%7Ckari%40example.com%7C0&sdata=abc%3D&reserved=0"
    )


def defended(link: str) -> str:
    """As version 3 of URL Defense wraps a link in which there is nothing to take out."""
    return f"https://urldefense.com/v3/__{link}__;!!ACWV5N9M2RV99hQ!Nzg1_-x$"


# ── what is found ──


@pytest.mark.parametrize("join", ALL, ids=lambda join: join.link)
def test_the_links_of_the_four_platforms_are_known(join: Join):
    assert joins.judge(join.link) == join
    assert joins.find(structured=[join.link]) == join
    assert joins.find(location=f"Fjord; {join.link}; Bre") == join
    assert joins.find(body=f'<p>Join: <a href="{join.link.replace("&", "&amp;")}">here</a>.</p>') == join


@pytest.mark.parametrize("link", POSERS + NOT_TO_JOIN)
def test_who_only_looks_like_them_is_not_joined(link: str):
    assert joins.find(structured=[link], location=link, body=f"Join here: <{link}>") is None


def test_the_calendars_own_field_goes_before_the_location_and_that_before_the_body():
    assert joins.find(structured=[None, "", MEET, ZOOM], location=TEAMS, body=WEBEX) == Join(
        platform=Platform.MEET, link=MEET
    )
    assert joins.find(structured=["tel:+47-22000000"], location=TEAMS, body=WEBEX) == Join(
        platform=Platform.TEAMS, link=TEAMS
    )
    assert joins.find(location="Fjord", body=f"{WEBEX} {ZOOM}") == Join(platform=Platform.WEBEX, link=WEBEX)
    assert joins.find() is None
    assert joins.find(structured=[], location="", body="nothing here") is None


@pytest.mark.parametrize(
    "around",
    [
        "({})",
        "<{}>",
        "[{}]",
        "{}.",
        "{},",
        "see {}; then",
        '"{}"',
        "'{}'",
        "**{}**",
        "{}?!",
        "{}),",
        "[{0}]({0})",
        "{},Room 2",
        "{};Room 2",
        "参加{}。",
        "Join:{}\r\nMeeting ID",
        "&lt;{}&gt;",
        "<a href='{}'>Join</a>",
        "{}&nbsp;or call",
        "HTTPS is best: {}",
    ],
)
@pytest.mark.parametrize("link", [TEAMS, WEBEX, MEET, ZOOM])
def test_what_stands_around_a_link_is_not_part_of_it(around: str, link: str):
    join = joins.find(body=around.format(link))
    assert join is not None
    assert join.link == link


def test_html_is_read_once_and_a_plain_ampersand_is_left_alone():
    link = "https://acme.webex.com/acme/j.php?MTID=m1&copy=1&lang=en"
    assert joins.find(body=link) == Join(platform=Platform.WEBEX, link=link)
    assert joins.find(body=link.replace("&", "&amp;")) == Join(platform=Platform.WEBEX, link=link)
    assert joins.find(body="https:&#x2F;&#47;zoom.us/j/123") == Join(
        platform=Platform.ZOOM, link="https://zoom.us/j/123"
    )
    assert joins.find(body="https:&amp;#47;/zoom.us/j/123") is None


# ── wrappers ──


@pytest.mark.parametrize("join", ALL, ids=lambda join: join.link)
@pytest.mark.parametrize(
    "wrap",
    [
        safe,
        defended,
        lambda link: safe(defended(link)),
        lambda link: defended(safe(link)),
        lambda link: "https://www.google.com/url?q=" + quote(link, safe="") + "&sa=D&source=calendar",
        lambda link: "https://urldefense.proofpoint.com/v1/url?u=" + quote(link, safe="") + "&k=oIvR",
        lambda link: (
            "https://urldefense.proofpoint.com/v2/url?u="
            + quote(link, safe="/")
            .replace("-", "%2D")
            .replace("_", "%5F")
            .replace("%", "-")
            .replace("/", "_")
            + "&d=DwMFaQ&c=Vxt5"
        ),
    ],
)
def test_what_mail_filters_wrap_around_a_link_is_taken_off(join: Join, wrap: Callable[[str], str]):
    assert joins.find(body=f"Join: {wrap(join.link)}, please") == join


def test_what_url_defense_took_out_is_put_back():
    # One character for a star; for two stars as many as the letter says, from two on.
    one = "https://urldefense.com/v3/__https://zoom.us/j/1?pwd=a*2Fb__;JQ!!KEc8uF_xo8-al5zF!HL4o$"
    assert joins.judge(one) == Join(platform=Platform.ZOOM, link="https://zoom.us/j/1?pwd=a%2Fb")
    run = "https://urldefense.com/v3/__https://zoom.us/j/1?pwd=a**B.x*y__;JSUlJA!!KEc8!HL4o$"
    assert joins.judge(run) == Join(platform=Platform.ZOOM, link="https://zoom.us/j/1?pwd=a%%%.x$y")
    one_stroke = "https://urldefense.com/v3/__https:/zoom.us/j/1__;!!KEc8!HL4o$"
    assert joins.judge(one_stroke) == Join(platform=Platform.ZOOM, link="https://zoom.us/j/1")
    underscores = "https://urldefense.us/v3/__https://zoom.us/my/a__b__;!!KEc8!HL4o$"
    assert joins.judge(underscores) == Join(platform=Platform.ZOOM, link="https://zoom.us/my/a__b")
    broken = "https://urldefense.com/v3/__https://zoom.us/j/1*__;%%%!!KEc8!HL4o$"
    assert joins.judge(broken) is None


def test_a_wrapper_is_decoded_once():
    assert joins.judge(safe(TEAMS)) == Join(platform=Platform.TEAMS, link=TEAMS)  # its %3a is still one
    assert joins.judge(safe(quote(TEAMS, safe=""))) is None


@pytest.mark.parametrize("link", POSERS)
def test_a_wrapper_makes_nobody_honest(link: str):
    assert joins.find(body=safe(link)) is None
    assert joins.find(body=defended(link)) is None


def test_only_the_filters_own_hosts_are_unwrapped():
    assert joins.judge(safe(ZOOM).replace("outlook.com", "outlook.com.evil.io")) is None
    assert joins.judge(safe(ZOOM).replace("eur01.safe", "evil.io/safe")) is None
    assert joins.judge(defended(ZOOM).replace("urldefense.com", "urldefense.com.evil.io")) is None
    assert joins.judge("https://evil.io/url?q=" + ZOOM) is None


def test_wrappers_without_end_are_given_up():
    link = ZOOM
    for _ in range(joins.WRAPPERS):
        link = defended(link)
    assert joins.judge(link) == Join(platform=Platform.ZOOM, link=ZOOM)
    assert joins.judge(defended(link)) is None


# ── addresses ──


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Video address: 12345678901@acme.webex.com.", "12345678901@acme.webex.com"),
        ("sip:123456789@Acme.Webex.com", "123456789@acme.webex.com"),
        ("kari.nordmann@acme.webex.com", "kari.nordmann@acme.webex.com"),
        ("<1234567890@acme.webex.com>", "1234567890@acme.webex.com"),
    ],
)
def test_the_address_of_a_webex_meeting_joins_it(text: str, address: str):
    assert joins.find(location=text) == Join(platform=Platform.WEBEX, link=address)


@pytest.mark.parametrize(
    "text",
    [
        "kari@webex.com",
        "fjord@acme.rooms.webex.com",
        "kari@acme.calls.webex.com",
        "123456789@acme.webex.com.evil.io",
        "123456789@acme.webex.community",
        "123456789@acmewebex.com",
        "noreply@mail.webex.com",
        "do-not-reply@acme.webex.com",
        "jørgen@acme.webex.comæ",
    ],
)
def test_other_addresses_do_not(text: str):
    assert joins.find(location=text, body=text) is None


def test_a_link_goes_before_an_address_that_stands_before_it():
    body = f"Video address: 123456789@acme.webex.com\nLink: {WEBEX}"
    assert joins.find(body=body) == Join(platform=Platform.WEBEX, link=WEBEX)


# ── what strangers wrote ──


CROOKED = st.sampled_from(
    [
        *(join.link for join in ALL),
        *POSERS,
        "https://",
        "http://",
        "@",
        ".webex.com",
        "&#",
        "&#x",
        "&amp;",
        "&lt;",
        "https://urldefense.com/v3/__",
        "__;",
        "**",
        "*A",
        "!!",
        "https://x.safelinks.protection.outlook.com/?url=",
        "%",
        "%25",
        "\\",
        "[",
        "]",
        "\x00",
        "\u202e",
        "9" * 5000,
    ]
)


@given(text=st.lists(CROOKED | st.text(max_size=20), max_size=12).map("".join))
@example(text="&#" + "9" * 6000 + ";")
@example(text="https://urldefense.com/v3/__https://zoom.us/j/1**__;QUFB!!x$")
def test_whatever_is_written_the_answer_is_a_link_of_one_of_the_four(text: str):
    join = joins.find(structured=[text], location=text, body=text)
    if join is None:
        return
    assert join.link.isascii()
    assert join.link.isprintable()
    assert not set(join.link) & set(" \\\"<>'`")
    assert len(join.link) <= LINK_CHARACTERS
    if "://" not in join.link:
        assert re.fullmatch(r"[\w.+-]+@[\w-]+\.webex\.com", join.link, re.ASCII)
        return
    assert joins.judge(join.link) == join
    parts = urlsplit(join.link)
    assert parts.scheme in {"http", "https"}
    assert parts.username is None
    domains = ("webex.com", "teams.microsoft.com", "teams.microsoft.us", "teams.live.com", "meet.google.com")
    zoom = ("zoom.us", "zoom.com.cn", "zoom-x.de", "zoomgov.com")
    assert parts.hostname is not None
    assert parts.hostname.endswith((*domains, *zoom))


@given(link=st.sampled_from(ALL), before=st.text(max_size=200), after=st.text(max_size=200))
def test_a_link_is_found_in_whatever_text_it_stands(link: Join, before: str, after: str):
    found = joins.find(body=f"{before}\n{link.link}\n{after}")
    assert found is not None
    assert before.count("http") + before.count("@") or found == link


def test_what_lies_beyond_the_cap_is_not_looked_at():
    assert joins.find(body=" " * (TEXT_CHARACTERS - len(ZOOM)) + ZOOM) is not None
    assert joins.find(body=" " * TEXT_CHARACTERS + ZOOM) is None
    assert joins.judge(ZOOM + "&x=" + "a" * LINK_CHARACTERS) is None


# ── a body cannot keep us busy ──


ADVERSARIES = (
    "https://",
    "https://a.b/&",
    "http",
    "a",
    "a.",
    "a@",
    "1@a.",
    "9" * 11 + "@",
    "&",
    "&a",
    "&#x",
    "&#99999999",
    "*",
    "https://urldefense.com/v3/__",
    "https://urldefense.com/v3/__**A",
    "https://x.safelinks.protection.outlook.com/?url=",
    "https://www.google.com/url?q=",
    "https://acme.webex.com/a/",
    "https://zoom.us/j/",
    "https://zoom.us/x ",
    "https://x.safelinks.protection.outlook.com/?url=https%3A%2F%2Fzoom.us%2Fx ",
    "\\",
    "[",
)


def steps(text: str) -> int:
    """How many functions are called, of ours and of the library, to look through a text."""
    called = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal called
        called += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        assert joins.find_in(text) is None
    finally:
        sys.setprofile(before)
    return called


@pytest.mark.parametrize("part", ADVERSARIES)
def test_twice_the_text_takes_at_most_twice_the_steps(part: str):
    text = part * (16_384 // len(part))
    assert steps(text + text) <= 2 * steps(text) + 200


def patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(name, value) for name, value in vars(joins).items() if isinstance(value, re.Pattern)]


def repeats(tree: object, *, within: bool = False) -> list[bool]:
    """For each endless repetition in a parsed pattern, whether another repetition stands around it."""
    found: list[bool] = []
    if isinstance(tree, tuple) and len(tree) == 2 and str(tree[0]) in {"MAX_REPEAT", "MIN_REPEAT"}:
        _, most, inner = tree[1]
        if most == parser.MAXREPEAT:
            found.append(within)
        return found + repeats(inner, within=within or most > 1)
    if isinstance(tree, str | int | None):
        return found
    children = list(tree) if isinstance(tree, tuple | list | parser.SubPattern) else []
    for child in children:
        found += repeats(child, within=within)
    return found


@pytest.mark.parametrize(("name", "pattern"), patterns(), ids=lambda value: str(value)[:30])
def test_no_pattern_repeats_what_repeats_without_end(name: str, pattern: re.Pattern[str]):
    assert not any(repeats(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)))
