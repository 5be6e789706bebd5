"""What roomd needs of a configuration: told in words, met or not, and set as the device understands it."""

import pytest

from agent.core.model import Transport
from device_adapters.xapi.needs import NEEDS, needs_of, shortfalls
from device_adapters.xapi.schema import read_firmware

NEW, OLD = read_firmware("26.4.1"), read_firmware("9.15.17.4")


def paths(*args: object, **more: object) -> list[str]:
    return [need.path for need in needs_of(*args, **more)]  # type: ignore[arg-type]


def test_what_a_firmware_does_not_have_is_not_needed_of_it():
    assert "RoomAnalytics PeoplePresence Input HeadDetector" in paths("Cisco Room Bar", NEW)
    assert "RoomAnalytics PeoplePresence Input HeadDetector" not in paths("Cisco Room Kit", OLD)
    assert "Bookings CheckIn Enabled" not in paths("Cisco Room Kit", OLD)


def test_who_counts_nobody_need_not_be_set_up_to_count():
    assert not [need for need in needs_of("Cisco Codec Pro", NEW, counts_people=False) if need.counting]
    assert not [path for path in paths("Cisco Room Navigator", NEW) if path.startswith("RoomAnalytics")]


def test_what_depends_on_the_line_is_needed_over_that_line_only():
    assert "NetworkServices Websocket" not in paths("Cisco Room Bar", NEW)
    assert "NetworkServices Websocket" not in paths("Cisco Room Bar", NEW, over=Transport.WEBSOCKET)
    assert "NetworkServices Websocket" in paths("Cisco Room Bar", NEW, over=Transport.SSH)
    assert "HttpFeedback UseHttpProxy" in paths("Cisco Room Bar", NEW, over=Transport.HTTP)


def test_only_what_counting_people_needs_is_set_without_asking_anybody():
    assert {need.path for need in NEEDS if need.mends} == {need.path for need in NEEDS if need.counting}


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: need.path)
def test_each_need_is_met_by_what_it_wants_and_by_nothing_that_spoils_it(need):
    assert need.met(need.wanted) is True
    assert not [value for value in need.bad if need.met(value) is not False]
    assert need.met("Whatever") is None
    assert need.met(None) is need.met({"id": 1}) is need.met([]) is None
    assert need.command == f"xConfiguration {need.path}: {need.wanted}"
    assert need.sentence.endswith(".")
    assert need.setting().params == {"Path": need.node, "Value": need.wanted}
    if need.least is not None:
        assert need.met(need.least) is need.met(str(need.least)) is True
        assert need.met(need.least - 1) is need.met(str(need.least - 1)) is False


def test_a_proxy_that_is_off_bends_no_call_back():
    needs = needs_of("Cisco Room Bar", NEW, over=Transport.HTTP)
    read = {"HttpFeedback UseHttpProxy": "On", "NetworkServices HTTP Proxy Mode": "Off"}
    assert shortfalls(needs, read) == ()
    (found,) = shortfalls(needs, {**read, "NetworkServices HTTP Proxy Mode": "Manual"})
    assert found.path == "HttpFeedback UseHttpProxy"


def test_what_was_not_read_is_not_told():
    assert shortfalls(NEEDS, {}) == ()
