"""What a client meets at the door and on the wire."""

import hashlib
import json
import ssl

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.simulator import VERSIONS, ManualClock, Site
from tests.simulator_tests.client import Client, Refusal, basic, dial, subprotocol


async def test_basic_authorization_opens_the_door():
    async with Site() as site, dial(site) as client:
        assert await client.get("Status", "UserInterface", "ContactInfo", "Name") == site.devices[0].name


async def test_the_auth_subprotocol_opens_the_door_and_is_echoed():
    async with Site() as site:
        device = site.devices[0]
        device.password = "p?ss>wörd~~"  # encodes with the characters that differ between the two alphabets
        offered = Subprotocol(subprotocol(device.user, device.password))
        async with connect(device.url, ssl=site.client_context(), subprotocols=[offered]) as socket:
            assert socket.subprotocol == offered


async def status_at_the_door(site: Site, *, path: str = "/ws", password: str = "") -> int:
    device = site.devices[0]
    url = device.url.removesuffix("/ws") + path
    headers = basic(device.user, password or device.password)
    try:
        async with connect(url, ssl=site.client_context(), additional_headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_a_wrong_password_is_forbidden():
    async with Site() as site:
        assert await status_at_the_door(site, password="wrong") == 403


async def test_another_path_is_not_found():
    async with Site() as site:
        assert await status_at_the_door(site, path="/wss") == 404


async def test_the_service_can_be_switched_off():
    async with Site() as site, dial(site) as client:
        await client.call("xSet", Path=["Configuration", "NetworkServices", "Websocket"], Value="Off")
        assert await status_at_the_door(site) == 404


@pytest.mark.parametrize("status", [401, 403, 404, 502, 503])
async def test_the_door_can_answer_with_any_status(status: int):
    async with Site() as site:
        site.devices[0].fault(handshake_status=status)
        assert await status_at_the_door(site) == status


async def test_from_26_2_five_wrong_passwords_lock_the_door_for_five_minutes():
    async with Site(clock=ManualClock()) as site:
        for _ in range(5):
            assert await status_at_the_door(site, password="wrong") == 403
        assert await status_at_the_door(site) == 403
        site.advance(301)
        async with dial(site) as client:
            assert await client.get("Status", "SystemUnit", "Uptime")


async def test_older_firmware_never_locks_the_door():
    async with Site(profile="11.27.2.0") as site:
        for _ in range(6):
            assert await status_at_the_door(site, password="wrong") == 403
        async with dial(site):
            assert not site.devices[0].locked


async def test_a_self_signed_certificate_has_the_fingerprint_that_was_told():
    async with Site(self_signed=True) as site:
        device = site.devices[0]
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        headers = basic(device.user, device.password)
        with pytest.raises(ssl.SSLCertVerificationError):
            async with dial(site):
                pass
        async with connect(device.url, ssl=trusting, additional_headers=headers) as socket:
            shown = socket.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert hashlib.sha256(shown).hexdigest() == device.fingerprint


async def test_a_new_certificate_has_another_fingerprint():
    async with Site() as site:
        before = site.devices[0].fingerprint
        site.renew_certificate(site.devices[0])
        assert site.devices[0].fingerprint != before


async def test_replies_are_compact_with_sorted_keys_and_the_id_as_it_came():
    async with Site() as site, dial(site) as client:
        for request_id in (7, "seven", 0):
            text = await client.exchange({
                "jsonrpc": "2.0",
                "id": request_id,
                "method": "xCommand/Standby/Deactivate",
                "params": {},
            })  # fmt: skip
            wanted = {"id": request_id, "jsonrpc": "2.0", "result": {"status": "OK"}}
            assert text == json.dumps(wanted, separators=(",", ":"))


async def test_a_get_returns_the_subtree_without_its_root_and_in_the_devices_own_case():
    async with Site() as site, dial(site) as client:
        count = await client.get("status", "ROOMANALYTICS", "peoplecount")
        assert count == {"Capacity": 10, "Current": 0}


async def test_integers_are_numbers_and_everything_else_is_text():
    async with Site() as site, dial(site) as client:
        analytics = await client.get("Status", "RoomAnalytics")
        assert analytics["PeopleCount"]["Current"] == 0
        assert analytics["AmbientTemperature"] == "21.5"
        assert analytics["RoomInUse"] == "False"
        assert isinstance(await client.get("Status", "SystemUnit", "Uptime"), int)


async def test_lists_are_arrays_with_numeric_ids():
    async with Site() as site, dial(site) as client:
        site.devices[0].share(2)
        shared = await client.get("Status", "Conference", "Presentation", "LocalInstance")
        assert shared == [{"SendingMode": "LocalOnly", "Source": 2, "id": 2}]
        path = ("Status", "Conference", "Presentation", "LocalInstance", 2, "Source")
        assert await client.get(*path) == 2


async def test_a_query_answers_from_the_root_and_knows_the_wildcard():
    async with Site() as site, dial(site) as client:
        found = await client.call("xQuery", Query=["Status", "**", "numberofactivecalls"])
        assert found == {"Status": {"SystemUnit": {"State": {"NumberOfActiveCalls": 0}}}}
        with pytest.raises(Refusal) as refused:
            await client.call("xQuery", Query=["**"])
        assert refused.value.code == -32602


async def test_a_set_is_kept_told_and_checked():
    async with Site() as site, dial(site) as client:
        path = ["configuration", "time", "zone"]
        await client.subscribe("Configuration", "Time")
        assert await client.call("xSet", Path=path, Value="Europe/Oslo") is True
        assert await client.get(*path) == "Europe/Oslo"
        assert (await client.feedback())["Configuration"] == {"Time": {"Zone": "Europe/Oslo"}}
        with pytest.raises(Refusal) as refused:
            await client.call("xSet", Path=path, Value="Middle/Earth")
        assert refused.value.code == -32602


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("xGive", {}, -32601),
        ("xCommand/Bookings/Celebrate", {}, -32601),
        ("xGet", {"Path": ["Status", "Coffee"]}, -32601),
        ("xGet", {"Path": "Status/SystemUnit"}, -32602),
        ("xFeedback/Subscribe", {"Query": ["Event", "Coffee"]}, -32601),
        ("xFeedback/Unsubscribe", {"Id": 4}, -32602),
        ("xCommand/Bookings/List", {"Weeks": 1}, -32602),
        ("xCommand/Bookings/List", {"Days": 0}, 1),
        ("xCommand/Bookings/Respond", {"Type": "Accept"}, -32602),
        ("xCommand/Bookings/Get", {"Id": "webex-99"}, 1),
    ],
)
async def test_errors_have_their_codes(method: str, params: dict[str, object], code: int):
    async with Site() as site, dial(site) as client:
        with pytest.raises(Refusal) as refused:
            await client.call(method, **params)
        assert refused.value.code == code


async def test_what_is_not_json_rpc_is_refused():
    async with Site() as site, dial(site) as client:
        await client.socket.send("{")
        assert json.loads(await client.raw())["error"]["code"] == -32700
        await client.socket.send("[]")
        assert json.loads(await client.raw())["error"]["code"] == -32600


async def test_each_subscription_gets_a_frame_of_its_own_with_what_it_covers():
    async with Site() as site, dial(site) as client:
        branch = await client.subscribe("Status", "RoomAnalytics")
        leaf = await client.subscribe("status", "roomanalytics", "peoplecount", "current")
        site.devices[0].count_people(4)
        assert await client.feedback() == {
            "Id": branch,
            "Status": {
                "RoomAnalytics": {
                    "PeopleCount": {"Current": 4},
                    "PeoplePresence": "Yes",
                    "RoomInUse": "True",
                }
            },
        }
        only = {"RoomAnalytics": {"PeopleCount": {"Current": 4}}}
        assert await client.feedback() == {"Id": leaf, "Status": only}
        await client.call("xFeedback/Unsubscribe", Id=branch)
        site.devices[0].count_people(5)
        assert [params["Id"] for params in await client.all_feedback()] == [leaf]


async def test_the_current_value_follows_the_reply():
    async with Site() as site, dial(site) as client:
        number = await client.subscribe("Status", "Standby", "State", now=True)
        assert not client.heard
        assert await client.feedback() == {"Id": number, "Status": {"Standby": {"State": "Off"}}}


async def test_an_element_that_goes_leaves_a_ghost():
    async with Site() as site, dial(site) as client:
        await client.subscribe("Status", "Conference", "Presentation", "LocalInstance")
        site.devices[0].share()
        site.devices[0].stop_sharing()
        came, went = await client.all_feedback()
        assert came["Status"]["Conference"]["Presentation"]["LocalInstance"][0]["id"] == 1
        ghost = [{"ghost": "True", "id": 1}]
        assert went["Status"]["Conference"]["Presentation"]["LocalInstance"] == ghost


async def test_some_events_have_a_scalar_body():
    async with Site() as site, dial(site) as client:
        await client.subscribe("Event", "Standby")
        site.devices[0].warn_of_standby(30)
        assert (await client.feedback())["Event"] == {"Standby": {"SecondsToStandby": 30}}


@pytest.mark.parametrize("version", VERSIONS.values())
async def test_every_firmware_says_which_it_is(version: str):
    async with Site(profile=version) as site, dial(site) as client:
        software = await client.get("Status", "SystemUnit", "Software")
        assert version in software["Version"]
        assert software["DisplayName"].startswith(f"RoomOS {version}")
        knows_in_use = version != "10.19.4.2"
        assert ("RoomInUse" in await client.get("Status", "RoomAnalytics")) is knows_in_use


async def test_a_message_is_shown_answered_and_gone():
    async with Site() as site, dial(site) as client:
        await client.subscribe("Event", "UserInterface", "Message", "Prompt", "Response")
        options = {"Option.1": "Keep", "Option.2": "Release"}
        await client.command(
            "UserInterface Message Prompt Display", Text="Still here?", FeedbackId="hold-1", **options
        )
        shown = site.devices[0].screen.prompt
        assert shown
        assert shown.options == {1: "Keep", 2: "Release"}
        site.devices[0].answer_prompt(2)
        response = (await client.feedback())["Event"]["UserInterface"]["Message"]["Prompt"]["Response"]
        assert (response["FeedbackId"], response["OptionId"]) == ("hold-1", 2)
        assert site.devices[0].screen.prompt is None


async def test_a_message_goes_after_its_duration():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "UserInterface", "Message", "Alert", "Cleared")
        await client.command("UserInterface Message Alert Display", Text="Fire drill", Duration=30)
        site.advance(29)
        assert [message.kind for message in site.devices[0].screen.messages] == ["Alert"]
        site.advance(1)
        assert site.devices[0].screen.messages == []
        assert len(await client.all_feedback()) == 1


async def test_before_26_1_messages_have_no_target():
    async with Site(profile="11.27.2.0") as site, dial(site) as client:
        with pytest.raises(Refusal) as refused:
            await client.command("UserInterface Message Alert Display", Text="x", Target="RoomScheduler")
        assert refused.value.code == -32602


async def test_devices_do_not_hear_each_other():
    async with (
        Site(rooms=40, profile="mix", calendar="mix") as site,
        dial(site, site.devices[0]) as first,
        dial(site, site.devices[39]) as last,
    ):
        for client in (first, last):
            await client.subscribe("Status", "RoomAnalytics", "PeopleCount", "Current")
        site.devices[39].count_people(2)
        assert await _counts(first) == []
        assert await _counts(last) == [2]


async def _counts(client: Client) -> list[int]:
    heard = await client.all_feedback()
    return [params["Status"]["RoomAnalytics"]["PeopleCount"]["Current"] for params in heard]
