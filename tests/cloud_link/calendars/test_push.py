"""What the clouds post at our door: the handshake, news and their secrets, and whatever strangers try."""

import json
import sys
from http import HTTPStatus
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.listening import Listener
from cloud_link.calendars import google_calendar, graph
from cloud_link.calendars.integration import Service
from cloud_link.calendars.push import (
    MAX_POST_BYTES,
    MAX_TOKEN_CHARACTERS,
    MOST_STRANGE,
    Answer,
    Coming,
    Heard,
    PushSite,
    address,
)
from tests.callers import Caller, calling, request

SECRET = "right"
TOKEN = "Validation: Testing+it/for=%2F<script>alert(1)</script> & more"


class Ear:
    """Believes whoever shows the secret."""

    def __init__(self) -> None:
        self.asked = 0
        self.heard_of: list[Heard] = []

    def heard(self, said: Heard) -> bool:
        self.asked += 1
        shown = said.token if isinstance(said, google_calendar.Hint) else said.client_state
        if shown != SECRET:
            return False
        self.heard_of.append(said)
        return True


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def site(ear: Ear) -> PushSite:
    return PushSite({Service.MICROSOFT: ear, Service.GOOGLE: ear})


def post(site: PushSite, target: str, body: bytes = b"", /, **headers: str) -> Answer | HTTPStatus:
    """What is said to a whole request."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    coming = site.admits("POST", target, named)
    return coming.answer(body) if isinstance(coming, Coming) else coming


def told(*notices: object) -> bytes:
    return json.dumps({"value": notices, "validationTokens": None}).encode()


def notice(name: str = "s1", secret: str = SECRET, **more: object) -> dict[str, object]:
    return {"subscriptionId": name, "clientState": secret, "changeType": "updated", **more}


CHANNEL = {"x_goog_channel_id": "c1", "x_goog_resource_state": "exists", "x_goog_channel_token": SECRET}


# ── Microsoft ──


@pytest.mark.parametrize("written", [quote(TOKEN, safe=""), quote_plus(TOKEN)])
def test_the_handshake_is_echoed_decoded_and_is_nothing_that_a_browser_runs(site, ear, written):
    answer = post(site, f"/hooks/microsoft?site=oslo&validationToken={written}")
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body.decode()) == (200, TOKEN)
    assert answer.headers == {
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
    }
    assert not answer.known  # anybody can do that
    assert (ear.asked, site.callers.handshakes) == (0, 1)


def test_news_and_the_life_of_subscriptions_come_by_the_same_door(site, ear):
    body = told(notice(), notice("s2", lifecycleEvent="missed"), notice(), notice("s3", "wrong"))
    answer = post(site, "/microsoft", body)
    assert answer == Answer(status=HTTPStatus.ACCEPTED, known=True)
    assert ear.heard_of == [
        graph.Hint(subscription_id="s1", client_state=SECRET),
        graph.LifecycleNotice(subscription_id="s2", client_state=SECRET, what=graph.Lifecycle.MISSED),
    ]
    assert (site.callers.told, site.callers.unknown) == (2, 1)


def test_whoever_does_not_know_the_secret_is_told_the_same(site, ear):
    answer = post(site, "/microsoft", told(notice(secret="guessed"), {"subscriptionId": "s1"}))
    assert answer == Answer(status=HTTPStatus.ACCEPTED)
    assert post(site, "/microsoft", told()) == answer
    assert ear.heard_of == []
    assert site.callers.unknown == 2


def test_who_says_much_and_nothing_right_is_not_listened_to_for_long(site, ear):
    wrong = [notice(f"s{number}", "wrong") for number in range(1000)]
    assert post(site, "/microsoft", told(*wrong)) == Answer(status=HTTPStatus.ACCEPTED)
    assert ear.asked == MOST_STRANGE
    ear.asked = 0
    many = [notice(f"s{number}") for number in range(1000)]  # a large house
    assert post(site, "/microsoft", told(*many, *wrong)) == Answer(status=HTTPStatus.ACCEPTED, known=True)
    assert ear.asked == 2000


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"hello", b'{"value": 1}', b"\xff\xfe", b'{"value": [' + b"[" * 100_000]
)
def test_what_is_no_notification_is_refused_without_a_word(site, ear, body):
    assert post(site, "/microsoft", body) == Answer(status=HTTPStatus.BAD_REQUEST)
    assert (ear.asked, site.callers.unreadable) == (0, 1)


# ── Google ──


def test_a_channels_word_is_in_its_head(site, ear):
    answer = post(site, "/hooks/google", b"", **CHANNEL)
    assert answer == Answer(status=HTTPStatus.OK, known=True)
    [hint] = ear.heard_of
    assert isinstance(hint, google_calendar.Hint)
    assert (hint.channel_id, hint.first) == ("c1", False)


def test_an_unknown_channel_is_told_the_same(site, ear):
    answer = post(site, "/google", b"", **CHANNEL | {"x_goog_channel_token": "guessed"})
    assert answer == Answer(status=HTTPStatus.OK)
    assert (ear.heard_of, site.callers.unknown) == ([], 1)


def test_who_calls_like_google_and_names_no_channel_is_refused_without_a_word(site):
    assert post(site, "/google", b"{}") == Answer(status=HTTPStatus.BAD_REQUEST)
    assert site.callers.unreadable == 1


# ── the door ──


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/hooks/microsoft?validationToken=x", 405),
        ("PUT", "/google", 405),
        ("POST", "/", 404),
        ("POST", "/webex", 404),
        ("POST", "/microsoft/more", 404),
        ("POST", "/microsoft%2F", 404),
        ("GET", "/hooks/", 404),
        ("POST", f"/microsoft?validationToken={'x' * (MAX_TOKEN_CHARACTERS + 1)}", 400),
        ("POST", f"/microsoft?{'&'.join('a=b' for _ in range(99))}", 400),
    ],
)
def test_who_is_turned_away_by_the_head(site, ear, method, target, status):
    assert site.admits(method, target, {}) == status
    assert ear.asked == 0


def test_a_cloud_that_the_site_does_not_have_has_no_door(ear):
    site = PushSite({Service.GOOGLE: ear})
    assert site.admits("POST", "/microsoft?validationToken=x", {}) == HTTPStatus.NOT_FOUND
    assert site.callers.counts()["strangers"] == 1


def test_the_clouds_call_below_the_sites_own_address():
    assert (
        address("https://roomd.example.com/hooks/", Service.GOOGLE)
        == "https://roomd.example.com/hooks/google"
    )
    assert address("https://roomd.example.com", Service.MICROSOFT) == "https://roomd.example.com/microsoft"


async def say(caller: Caller, data: bytes) -> tuple[int, bytes]:
    head = await caller.says(data)
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return int(head.split()[1]), await caller.reader.readexactly(length)


async def test_over_the_network_too(site, ear):
    async with Listener(site, host="127.0.0.1", port=0) as listener:
        graphs, googles = f"{listener.url}/hooks/microsoft", f"{listener.url}/hooks/google"
        async with calling(listener.url) as caller:
            asked = f"{graphs}?{urlencode({'validationToken': TOKEN})}"
            assert await say(caller, request(asked, head="Content-Type: text/plain\r\n")) == (
                200,
                TOKEN.encode(),
            )
        async with calling(listener.url) as caller:
            assert await say(caller, request(graphs, told(notice()))) == (202, b"")
            assert await say(caller, request(graphs, told(notice(secret="x")))) == (202, b"")
            head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in CHANNEL.items())
            assert await say(caller, request(googles, head=head)) == (200, b"")
        for wrong, status in (
            (request(graphs, b"{"), 400),
            (request(graphs, method="GET"), 405),
            (request(graphs, b"x" * (MAX_POST_BYTES + 1)), 413),
            (request(googles, b"x" * 2000, head=head), 413),
            (request(f"{asked}&x={'y' * 20_000}"), 431),
            (request(f"{listener.url}/hooks"), 404),
        ):
            async with calling(listener.url) as caller:
                assert await say(caller, wrong) == (status, b"")
                assert await caller.end() == b""
    assert len(ear.heard_of) == 2


# ── whatever may come ──

WORDS = st.sampled_from(
    [
        "value",
        "subscriptionId",
        "clientState",
        "tenantId",
        "lifecycleEvent",
        "missed",
        "s1",
        SECRET,
        "\0",
        "é",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(WORDS, below, max_size=5),
    max_leaves=25,
)
BODIES = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.lists(JSON, max_size=5).map(lambda value: json.dumps({"value": value}).encode())
    | st.tuples(
        st.sampled_from([b"[", b'{"value":[', b'{"value":[{"subscriptionId":"s1","x":', b'{"a":']),
        st.integers(0, 3000),
    ).map(lambda nested: nested[0] * nested[1])
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "x-goog-channel-id",
            "x-goog-resource-state",
            "x-goog-channel-token",
            "x-goog-resource-id",
            "x-goog-channel-expiration",
            "content-type",
        ]
    ),
    st.text(st.characters(max_codepoint=255), max_size=30)
    | st.sampled_from(
        ["c1", "sync", SECRET, "Fri, 27 Nov 2026 01:13:52 GMT", "Fri, 99 Nov 99999 99:99:99 +9999"]
    ),
)
TARGETS = st.sampled_from(["/microsoft", "/hooks/google", "/microsoft?validationToken="]).flatmap(
    lambda start: st.text(st.characters(max_codepoint=255), max_size=40).map(lambda rest: start + rest)
) | st.text(max_size=60)


@settings(max_examples=400, deadline=None)
@given(TARGETS, BODIES, HEADERS)
def test_anything_is_answered_and_leaves_nothing_behind(target, body, headers):
    ear = Ear()
    site = PushSite({Service.MICROSOFT: ear, Service.GOOGLE: ear})
    before = sys.getrecursionlimit()
    for path in (target, "/microsoft", "/google"):
        coming = site.admits("POST", path, headers)
        if isinstance(coming, Coming):
            answer = coming.answer(body)
            assert answer.status in (200, 202, 400)
            assert len(answer.body) <= 4 * MAX_TOKEN_CHARACTERS
            assert answer.known == bool(ear.heard_of)
            ear.heard_of.clear()
        else:
            assert coming in (400, 404)
    assert sys.getrecursionlimit() == before
    assert vars(site).keys() == {"callers", "_watches"}  # it remembers nobody


@pytest.mark.parametrize("part", [b"1,", b"{},", b'{"subscriptionId":"s"},', b"[],", b'"",'])
def test_the_longest_post_that_is_taken_is_soon_over(site, ear, part):
    count = (MAX_POST_BYTES - 20) // len(part)
    body = b'{"value":[' + part * count + b"1]}"
    assert len(body) <= MAX_POST_BYTES
    assert post(site, "/microsoft", body) == Answer(status=HTTPStatus.ACCEPTED)
    assert ear.asked <= 1
