"""Each misbehaviour can be switched on, does what it says, and can be switched off."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.simulator import Answer, ManualClock, Site
from tests.simulator.faults import Cut, Junk
from tests.simulator_tests.client import Client, Refusal, basic, bookings_in, dial

COUNT = ("Status", "RoomAnalytics", "PeopleCount", "Current")


async def test_frames_can_come_twice():
    async with Site() as site, dial(site) as client:
        await client.subscribe(*COUNT)
        site.devices[0].fault(duplicate_frames=True)
        site.devices[0].count_people(2)
        first, second = await client.all_feedback()
        assert first == second


async def test_changes_can_come_one_by_one():
    async with Site() as site, dial(site) as client:
        await client.subscribe("Status", "RoomAnalytics")
        site.devices[0].fault(delivery="split")
        site.devices[0].count_people(2)
        assert len(await client.all_feedback()) == 3


async def test_events_of_one_action_can_come_in_one_frame():
    async with Site() as site, dial(site) as client:
        await client.subscribe("Event", "Bookings")
        site.devices[0].fault(delivery="merged")
        site.devices[0].book_all_day(day=1)
        [params] = await client.all_feedback()
        assert [name for name, _ in bookings_in(params)] == ["BookingCreated", "Updated"]


async def test_frames_can_be_batched_and_fragmented():
    async with Site() as site, dial(site) as client:
        await client.subscribe(*COUNT)
        site.devices[0].fault(batch_s=0.02, fragmented=True)
        for people in (1, 2, 3):
            site.devices[0].count_people(people)
        assert await client.all_feedback() == []
        counts = [(await client.feedback())["Status"]["RoomAnalytics"]["PeopleCount"] for _ in range(3)]
        assert counts == [{"Current": 1}, {"Current": 2}, {"Current": 3}]


async def test_frames_can_be_lost_while_the_state_changes():
    async with Site() as site, dial(site) as client:
        await client.subscribe(*COUNT)
        site.devices[0].fault(drop_frames=1)
        site.devices[0].count_people(2)
        assert await client.all_feedback() == []
        assert await client.get(*COUNT) == 2
        site.devices[0].count_people(3)
        assert len(await client.all_feedback()) == 1


@pytest.mark.parametrize(("how", "body"), [("{}", {}), ("id", {"id": 1}), ("text", "")])
async def test_an_empty_event_has_three_shapes(how: str, body: object):
    async with Site() as site, dial(site) as client:
        await client.subscribe("Event", "Bookings", "Updated")
        site.devices[0].fault(empty_event=how)
        site.devices[0].book_all_day(day=1)
        assert await client.events() == [("Updated", body)]


async def test_counts_can_be_text():
    async with Site() as site, dial(site) as client:
        await client.subscribe(*COUNT)
        site.devices[0].fault(people_as_text=True)
        site.devices[0].count_people(2)
        [params] = await client.all_feedback()
        assert params["Status"]["RoomAnalytics"]["PeopleCount"]["Current"] == "2"
        assert await client.get(*COUNT) == "2"


async def test_the_current_value_can_overtake_the_reply():
    async with Site() as site, dial(site) as client:
        site.devices[0].fault(notify_first=True)
        number = await client.subscribe(*COUNT, now=True)
        assert client.heard[0]["Id"] == number


async def ask(client: Client, *numbers: int) -> None:
    for number in numbers:
        request = {"jsonrpc": "2.0", "id": number, "method": "xGet", "params": {"Path": list(COUNT)}}
        await client.socket.send(json.dumps(request))


async def test_replies_can_be_slow_or_out_of_order():
    async with Site() as site, dial(site) as client:
        site.devices[0].fault(reorder_replies=True)
        await ask(client, 1, 2)
        assert [json.loads(await client.raw())["id"] for _ in range(2)] == [2, 1]
        site.devices[0].clear_faults()
        site.devices[0].fault(reply_delay_s=0.05)
        began = asyncio.get_running_loop().time()
        await client.get(*COUNT)
        assert asyncio.get_running_loop().time() - began >= 0.05


async def test_replies_nobody_asked_for():
    async with Site() as site, dial(site) as client:
        site.devices[0].fault(unknown_replies=True)
        await ask(client, 1)
        assert [json.loads(await client.raw())["id"] for _ in range(2)] == ["nobody-asked", 1]


async def test_a_device_can_be_silent_and_still_answer_pings():
    async with Site() as site, dial(site) as client:
        site.devices[0].fault(silent=True)
        await ask(client, 1)
        async with asyncio.timeout(5):
            await (await client.socket.ping())
        site.devices[0].clear_faults()
        assert await client.get(*COUNT) == 0


async def test_subscriptions_run_out():
    async with Site() as site, dial(site) as client:
        site.devices[0].fault(subscription_limit=1)
        await client.subscribe(*COUNT)
        with pytest.raises(Refusal) as refused:
            await client.subscribe(*COUNT)
        assert refused.value.code == -31998


async def test_commands_can_fail_and_the_device_can_be_not_ready():
    async with Site() as site, dial(site) as client:
        site.devices[0].fault(command_errors={"Bookings List": 1})
        with pytest.raises(Refusal) as refused:
            await client.command("bookings list")
        assert refused.value.code == 1
        site.devices[0].fault(not_ready=True)
        with pytest.raises(Refusal) as refused:
            await client.get(*COUNT)
        assert refused.value.code == -31997


@pytest.mark.parametrize("kind", ["text", "binary", "deep", "array", "truncated", "unknown_node"])
async def test_junk_can_come_at_any_time(kind: Junk):
    async with Site() as site, dial(site) as client:
        site.devices[0].send_junk(kind)
        assert isinstance(await client.raw(), bytes if kind == "binary" else str)
        assert await client.get(*COUNT) == 0


async def test_a_frame_can_be_ten_megabytes():
    async with Site() as site, dial(site) as client:
        site.devices[0].send_junk("huge")
        assert len(await client.raw()) > 10 * 1024 * 1024


@pytest.mark.parametrize("how", ["no_end", "end_before_start", "garbage_times", "no_id", "no_title"])
async def test_bookings_can_be_unreadable(how: str):
    async with Site() as site, dial(site) as client:
        device = site.devices[0]
        device.book_all_day(day=1)
        [fine] = (await client.command("Bookings List"))["Booking"]
        device.fault(spoil_list=how)
        [spoilt] = (await client.command("Bookings List"))["Booking"]
        assert spoilt != fine


async def test_requests_can_lack_their_uuid_or_share_it():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        device = site.devices[0]
        await client.subscribe("Event", "Bookings", "BookingRequested")
        device.fault(no_request_uuid=True)
        device.request_booking(answer=Answer(outcome="by_hand"))
        device.clear_faults()
        device.fault(reuse_uuid=True)
        device.request_booking(answer=Answer(outcome="by_hand"))
        device.request_booking(answer=Answer(outcome="by_hand"))
        first, second, third = [body for _, body in await client.events()]
        assert "BookingRequestUUID" not in first
        assert second["BookingRequestUUID"] == third["BookingRequestUUID"]


async def test_a_held_connection_answers_nothing_until_it_is_let_go():
    async with Site() as site, dial(site) as client:
        device = site.devices[0]
        device.hold_open()
        pong = await client.socket.ping()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.shield(pong)
        async with dial(site) as newcomer:
            assert await newcomer.get(*COUNT) == 0
        device.let_go()
        async with asyncio.timeout(5):
            await pong


async def test_newcomers_can_be_held_as_well():
    async with Site() as site:
        device = site.devices[0]
        device.hold_open(newcomers=True)
        headers = basic(device.user, device.password)
        with pytest.raises(TimeoutError):
            await connect(device.url, ssl=site.client_context(), additional_headers=headers, open_timeout=0.2)


@pytest.mark.parametrize(("how", "code"), [("reset", 1006), ("close", 1000), ("end", 1006)])
async def test_connections_can_be_cut(how: Cut, code: int):
    async with Site() as site, dial(site) as client:
        site.devices[0].cut(how)
        with pytest.raises(ConnectionClosed) as closed:
            await client.raw()
        assert (closed.value.rcvd.code if closed.value.rcvd else 1006) == code
        if how == "reset":
            assert isinstance(closed.value.__cause__, ConnectionResetError)
        await site.until(lambda: not site.devices[0].lines)


async def test_a_reboot_answers_502_counts_anew_and_keeps_the_calendar():
    async with Site(clock=ManualClock()) as site:
        device = site.devices[0]
        gone = device.book_in_outlook("First")
        kept = device.book_all_day(day=1)
        device.delete(gone.id)
        async with dial(site) as client:
            device.reboot(30, answers="502")
            with pytest.raises(ConnectionClosed):
                await client.raw()
        with pytest.raises(InvalidStatus) as refused:
            async with dial(site):
                pass
        assert refused.value.response.status_code == 502
        site.advance(31)
        async with dial(site) as client:
            assert await client.get("Status", "SystemUnit", "Uptime") == 1
            [row] = (await client.command("Bookings List"))["Booking"]
            assert (row["Id"], row["MeetingId"]) == ("webex-1", kept.meeting_id)


async def test_a_reboot_can_refuse_connections():
    async with Site(clock=ManualClock()) as site:
        device = site.devices[0]
        device.reboot(30, answers="refuse")
        with pytest.raises(ConnectionRefusedError):
            async with dial(site):
                pass
        site.advance(31)
        async with asyncio.timeout(5):
            while True:
                try:
                    async with dial(site) as client:
                        assert await client.get(*COUNT) == 0
                        return
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)


async def test_faults_have_names_and_types():
    async with Site() as site:
        with pytest.raises(ValueError, match="no fault coffee"):
            site.devices[0].fault(coffee=True)
        with pytest.raises(ValueError, match="cannot be"):
            site.devices[0].fault(silent="yes")
