"""The tables of the file that say when a booking counts as attended and as deserted, and what they mean."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from agent.core.model import Judging
from agent.tables import Number, Table, span


class AttendanceTable(Table):
    """`[attendance]` of the site, and `[rooms.attendance]` of a room: what is None, somebody else says."""

    people_s: Annotated[Number, Field(ge=10, le=600)] | None = None
    grace_min: Annotated[Number, Field(ge=1, le=240)] | None = None
    empty_min: Annotated[Number, Field(ge=1, le=60)] | None = None
    overrun_min: Annotated[Number, Field(ge=1, le=60)] | None = None
    unbooked_min: Annotated[Number, Field(ge=1, le=240)] | None = None


def judging(site: AttendanceTable, room: AttendanceTable) -> Judging:
    """What the two say together: what the room's own does not say, the site's says, or the default."""
    said = site.model_dump(exclude_none=True) | room.model_dump(exclude_none=True)
    usual = Judging()
    return Judging(
        people_for=span(said.get("people_s"), usual.people_for, timedelta(seconds=1)),
        grace=span(said.get("grace_min"), usual.grace, timedelta(minutes=1)),
        empty_for=span(said.get("empty_min"), usual.empty_for, timedelta(minutes=1)),
        overrun_after=span(said.get("overrun_min"), usual.overrun_after, timedelta(minutes=1)),
        unbooked_for=span(said.get("unbooked_min"), usual.unbooked_for, timedelta(minutes=1)),
    )
