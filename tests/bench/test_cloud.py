"""A command is matched with what a device heard of it, and with nothing else."""

from tests.bench.cloud import TEXT, Given, account, heard

DISPLAYS = {
    "room-0001": [
        {"parameters": {"FeedbackId": "roomd/a-1", "Text": f"{TEXT} first-0000"}, "heard_at": 1.0},
        {"parameters": {"FeedbackId": "roomd/a-2", "Text": f"{TEXT} hold-0000"}, "heard_at": 10.004},
        {"parameters": {"FeedbackId": "roomd/a-2", "Text": f"{TEXT} hold-0000"}, "heard_at": 10.9},
    ],
    "room-0002": [
        {"parameters": {"FeedbackId": "roomd/a-3", "Text": f"{TEXT} hold-0001"}, "heard_at": 10.018}
    ],
}
CLEARS = {
    "room-0001": [{"parameters": {"FeedbackId": "roomd/a-2", "Target": "OSD"}, "heard_at": 20.0}],
    "room-0002": [
        {"parameters": {"FeedbackId": "somebody-elses"}, "heard_at": 20.0},
        {"parameters": {}, "heard_at": 21.0},
    ],
}


def given(hold: str, written_at: float, answered_at: float | None = None, *, done: bool = False) -> Given:
    return Given(hold=hold, written_at=written_at, late_s=0.001, answered_at=answered_at, done=done)


def test_the_first_display_counts_and_the_rest_is_said():
    sent = [
        given("hold-0000", 10.0, 10.003, done=True),
        given("hold-0001", 10.0, 10.005),
        given("hold-0002", 10.0),
    ]
    found = account(sent, heard("hold.place", DISPLAYS, {}))
    assert (found.sent, found.lost, found.repeated, found.not_done) == (3, 1, 1, 2)
    assert found.heard is not None
    assert [round(ms) for ms in (found.heard.p50_ms, found.heard.p99_ms, found.heard.max_ms)] == [11, 18, 18]
    assert found.answered is not None
    assert round(found.answered.max_ms) == 5


def test_a_clear_is_known_by_what_was_shown():
    found = account(
        [given("hold-0000", 19.5), given("hold-0001", 19.6)], heard("hold.cancel", DISPLAYS, CLEARS)
    )
    assert (found.lost, found.repeated) == (1, 0)
    assert found.heard is not None
    assert round(found.heard.max_ms) == 500
