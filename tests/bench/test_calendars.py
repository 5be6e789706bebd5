"""The table of a day's listing."""

from dataclasses import replace

from tests.bench.calendars import CLOUDS, Listing, text

FLOOR = Listing(
    cloud="microsoft",
    how="floor",
    rooms=1000,
    first_cpu_s=0.5,
    listings=9000,
    cpu_us=100.0,
    a_day=None,
    bare_mb=50.0,
    resident_mb=60.0,
)
ROOMD = replace(FLOOR, how="roomd", cpu_us=600.0, a_day=144_000.0, resident_mb=80.0)


def test_the_floor_is_billed_for_as_many_listings_as_roomd():
    found = [replace(each, cloud=cloud) for cloud in CLOUDS for each in (ROOMD, FLOOR)]
    first, second = text(found).split("\n\n")
    lines = {line[:52].strip(): line[52:].split() for line in first.splitlines()}
    assert lines["a day's listings, CPU"] == ["86", "s", "(6.00)", "14", "s"]
    assert lines["memory per room"] == ["30.7", "KB", "(3.00)", "10.2", "KB"]
    assert lines["of one core, all day"] == ["0.10", "%"]
    assert "Google" in second
