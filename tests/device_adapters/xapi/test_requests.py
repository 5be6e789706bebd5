"""What we ask of a device."""

from device_adapters.xapi.requests import (
    CONFIGURATION,
    SENSORS,
    SUBSCRIPTIONS,
    get,
    list_bookings,
    subscribe,
)


def test_the_core_asks_for_a_listing_of_two_days():
    call = list_bookings()
    assert call.method == "xCommand/Bookings/List"
    assert call.params == {"Days": 2}


def test_the_next_page_begins_where_the_last_one_ended():
    assert list_bookings(offset=20).params == {"Days": 2, "Offset": 20}


def test_subscriptions_are_few_and_do_not_overlap():
    paths = [subscription.path for subscription in SUBSCRIPTIONS]
    assert len(paths) <= 15  # a slot of HttpFeedback takes no more before 26.1
    for path in paths:
        assert not [other for other in paths if other != path and other[: len(path)] == path]


def test_what_is_subscribed_is_read_as_well():
    readable = [each.path for each in SUBSCRIPTIONS if each.path[0] != "Event"]
    for path in readable:
        assert [read for read in SENSORS + CONFIGURATION if path[: len(read)] == read], path


def test_calls_are_written_as_the_transport_guide_has_them():
    assert subscribe(("Status", "Standby")).params == {
        "Query": ("Status", "Standby"),
        "NotifyCurrentValue": False,
    }
    assert get(("Status", "Standby")).params == {"Path": ("Status", "Standby")}
