"""What can be wrong with a device: one switch per misbehaviour, all of them off at first."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

Junk = Literal[
    "text", "binary", "huge", "deep", "array", "truncated", "unknown_node", "unknown_event", "unknown_reply"
]
Spoil = Literal["", "no_end", "end_before_start", "garbage_times", "no_id", "no_title"]
Cut = Literal["reset", "close", "end"]  # TCP reset; a closing handshake; end of stream without one


@dataclass(slots=True, kw_only=True)
class Faults:
    """A device's misbehaviour, changed while it runs."""

    # At the door
    handshake_status: int | None = None  # 401, 403, 404, 502 or 503 to everybody
    http_status: int | None = None  # to every plain HTTP request
    sessions_exhausted: bool = False  # nobody comes in any more over HTTP and SSH
    exhausted_status: int = 503  # what HTTP says then; not documented
    ssh_password: bool = True  # which ways of logging in are offered over SSH
    ssh_keyboard: bool = True
    # The shell
    banner: Literal["", "ce9", "roomos"] = ""  # "": as the firmware has it
    last_login: Literal["", "before", "after", "none"] = ""  # the line "Last login …", around OK
    terminal_escape: Literal["terminal", "always", "never"] = "terminal"  # \e[?1034h before `echo off`'s OK
    json_output: Literal["", "refused", "ignored"] = ""  # what becomes of `xpreferences outputmode json`
    compact_json: bool = False  # each message on one line
    feedback_list: Literal["ended", "bare"] = "ended"  # `xFeedback List` in JSON mode, with or without ** end
    # Feedback
    duplicate_frames: bool = False
    # Values that changed at once: in one frame or one each; "merged" also puts events of one action together.
    delivery: Literal["together", "split", "merged"] = "together"
    batch_s: float = 0.0  # frames wait this long and then leave in one segment
    fragmented: bool = False  # one message in several WebSocket frames, or in SSH packets of a few bytes
    drop_frames: int = 0  # so many feedback frames are lost; -1 is all
    empty_event: Literal["{}", "id", "text"] = "{}"  # `Updated` as {}, {"id":1} or ""
    event_ids: bool = False  # "id":1 at the levels of an event, as on the serial line
    people_as_text: bool = False
    blank_meeting_ids: bool = False  # MeetingId "" in events instead of left out
    # Requests and replies
    notify_first: bool = False  # the current values overtake the reply to the subscription
    reply_delay_s: float = 0.0
    reorder_replies: bool = (
        False  # each reply waits for the next one to overtake it, at most REORDER_WITHIN_S
    )
    unknown_replies: bool = False  # a reply that nobody asked for precedes each reply
    silent: bool = False  # requests are read and not answered; pings are
    not_ready: bool = False  # -31997 to everything
    subscription_limit: int = 50  # -31998 beyond
    retries_refused_posts: bool = False  # HttpFeedback answered with 4xx or 5xx: again, not deactivated
    slots_survive_reboot: bool = False
    accepts_unknown_queries: bool = False  # subscribing to an unknown path is no error
    command_errors: dict[str, int] = field(default_factory=dict)  # "Bookings List" → error code
    settings: Literal["", "denied", "ignored"] = ""  # what becomes of xSet
    # Messages; none of these is documented
    # Where a prompt takes another's place: Cleared is told before, after the command's answer, or not at all.
    replaced_prompt: Literal["cleared", "late", "silent"] = "cleared"
    untargeted_clear: Literal["all", "own"] = "all"  # a Clear without target: everywhere, or as a Display
    names_origin: bool = True  # Origin and PeripheralId in answers and Cleared, from 26.1 on
    messages_wake: bool = False
    # Bookings
    spoil_list: Spoil = ""  # every booking of a List
    hide_past: bool = False  # a List does not hold what has ended
    no_request_uuid: bool = False
    reuse_uuid: bool = False  # every request has the same
    end_after_delete: bool = False  # a running booking that is deleted also ends

    def set(self, switches: Mapping[str, object]) -> None:
        """Sets some switches by name; refuses unknown names and values of another type."""
        for name, wished in switches.items():
            if name not in {known.name for known in fields(self)}:
                raise ValueError(f"no fault {name}")
            now = getattr(self, name)
            wanted = (int, type(None)) if name in ("handshake_status", "http_status") else type(now)
            value = float(wished) if isinstance(now, float) and isinstance(wished, int) else wished
            if not isinstance(value, wanted):
                raise ValueError(f"{name} cannot be {value!r}")
            setattr(self, name, value)

    def clear(self) -> None:
        self.set({known.name: getattr(Faults(), known.name) for known in fields(self)})
