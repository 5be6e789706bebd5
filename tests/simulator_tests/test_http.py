"""What a device says over HTTP: documents, commands, sessions, and what it posts to others."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from xml.etree import ElementTree as ET

import httpx
import pytest

from tests.simulator import ALL_VERSIONS, Device, ManualClock, Site
from tests.simulator.certificates import Authority
from tests.simulator_tests.client import dial
from tests.simulator_tests.receiver import Receiver, receiving

AWKWARD = 'Budget {2027}\n** end "quoted" <b>&amp;</b>'


@contextlib.asynccontextmanager
async def web(
    site: Site, device: Device | None = None, password: str = ""
) -> AsyncIterator[httpx.AsyncClient]:
    device = device or site.devices[0]
    async with httpx.AsyncClient(
        base_url=f"https://{device.host}:{device.port}",
        verify=site.client_context(),
        auth=(device.user, password or device.password),
        trust_env=False,
    ) as client:
        yield client


async def get(client: httpx.AsyncClient, location: str) -> str:
    response = await client.get("/getxml", params={"location": location})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/xml; charset=UTF-8"
    assert response.headers["server"] == "nginx"
    return response.text


async def put(client: httpx.AsyncClient, inner: str) -> ET.Element:
    response = await client.post("/putxml", content=inner.encode(), headers={"content-type": "text/xml"})
    assert response.status_code == 200, response.text
    return ET.fromstring(response.text)


def command(path: str, **given: object) -> str:
    words = path.split()
    parameters = "".join(
        f"<{name}>{item}</{name}>"
        for name, value in given.items()
        for item in (value if isinstance(value, list) else [value])
    )
    opening = "".join(f"<{word}>" for word in words[:-1])
    closing = "".join(f"</{word}>" for word in reversed(words[:-1]))
    last = words[-1]
    return f'<Command>{opening}<{last} command="True">{parameters}</{last}>{closing}</Command>'


# Documents


async def test_a_document_has_the_path_down_to_what_was_asked_for():
    async with Site(profile="11.27.2.0") as site, web(site) as client:
        assert await get(client, "/Status/RoomAnalytics/PeopleCount/Current") == (
            '<?xml version="1.0"?>\n'
            '<Status product="Cisco Codec" version="ce11.27.2.0.1a2b3c4d5e6" apiVersion="4">\n'
            "  <RoomAnalytics>\n    <PeopleCount>\n      <Current>0</Current>\n"
            "    </PeopleCount>\n  </RoomAnalytics>\n</Status>\n"
        )


async def test_lists_and_configurations_carry_attributes():
    async with Site() as site, web(site) as client:
        network = await get(client, "/Status/Network[1]/IPv4")
        assert '<Network item="1" maxOccurrence="n">' in network
        mode = await get(client, "/Configuration/RoomAnalytics/PeopleCountOutOfCall")
        assert '<PeopleCountOutOfCall valueSpaceRef="/Valuespace/TTPAR_OnOff">On<' in mode


async def test_an_old_device_numbers_every_element():
    async with Site(profile="9.15") as site, web(site) as client:
        assert '<Uptime item="1">' in await get(client, "/Status/SystemUnit/Uptime")


@pytest.mark.parametrize("location", ["/Status/Wrong", "/Coffee", "/Status/RoomAnalytics/PeopleCount/Wrong"])
async def test_what_is_not_there_is_an_empty_result_and_no_error(location: str):
    async with Site() as site, web(site) as client:
        text = await get(client, location)
        assert ET.fromstring(text).tag == "EmptyResult"
        assert 'apiVersion="4"' in text


async def test_no_location_is_a_fault_and_no_error():
    async with Site() as site, web(site) as client:
        fault = ET.fromstring(await get(client, ""))
        assert fault.findtext("XPathError/ErrorCode") == "10"


@pytest.mark.parametrize("version", ALL_VERSIONS.values())
async def test_whole_trees_can_be_read(version: str):
    async with Site(profile=version) as site, web(site) as client:
        status = ET.fromstring((await client.get("/status.xml")).text)
        assert status.findtext("SystemUnit/Hardware/Module/SerialNumber") == site.devices[0].serial
        assert status.get("version", "").startswith(f"ce{version}")
        configuration = ET.fromstring((await client.get("/configuration.xml")).text)
        assert configuration.findtext("Time/Zone") == "Etc/UTC"


# Commands


async def test_commands_answer_under_their_last_two_words():
    async with Site() as site, web(site) as client:
        site.devices[0].book_in_outlook(AWKWARD)
        answer = await put(client, command("Bookings List", Days=1))
        result = answer.find("BookingsListResult")
        assert result is not None
        assert result.get("status") == "OK"
        assert result.findtext("Booking/Title") == AWKWARD
        assert result.findtext("ResultInfo/TotalRows") == "1"


async def test_several_commands_in_a_document_have_a_result_each():
    async with Site() as site, web(site) as client:
        one = "<Standby><Deactivate/></Standby>"
        two = "<UserInterface><Message><Alert><Clear/></Alert></Message></UserInterface>"
        answer = await put(client, f"<Command>{one}{two}</Command>")
        assert [child.tag for child in answer] == ["StandbyDeactivateResult", "AlertClearResult"]


async def test_unknown_commands_and_refused_ones_are_answered_with_200():
    async with Site() as site, web(site) as client:
        unknown = await put(client, command("Bookings Celebrate"))
        assert unknown.tag == "ActionError"
        refused = (await put(client, command("Bookings Get", Id="webex-99"))).find("BookingsGetResult")
        assert refused is not None
        assert (refused.get("status"), refused.findtext("Reason")) == ("Error", "Booking not found")


async def test_configurations_are_set_and_refused():
    async with Site() as site, web(site) as client:
        inner = "<Configuration><RoomAnalytics><PeopleCountOutOfCall>{}</PeopleCountOutOfCall></RoomAnalytics></Configuration>"  # noqa: E501
        assert (await put(client, inner.format("Off"))).find("Success") is not None
        assert site.devices[0].config("RoomAnalytics", "PeopleCountOutOfCall") == "Off"
        assert (await put(client, inner.format("Perhaps"))).get("status") == "Error"
        assert (await put(client, "<Configuration><Coffee>On</Coffee></Configuration>")).get(
            "status"
        ) == "Error"


@pytest.mark.parametrize("body", ["<Command><Bookings></Command>", "", "<!DOCTYPE x []><Command/>"])
async def test_what_is_no_xml_is_answered_with_400(body: str):
    async with Site() as site, web(site) as client:
        response = await client.post("/putxml", content=body)
        assert (response.status_code, response.text.splitlines()[0]) == (400, "XML syntax error:")


# Who comes in


async def test_a_wrong_password_is_answered_with_401_and_the_realm():
    async with Site() as site, web(site, password="wrong") as client:
        response = await client.get("/getxml", params={"location": "/Status"})
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Basic realm="CISCO-Endpoint"'
        assert site.devices[0].failed_logins == 1


async def test_a_session_is_one_login_and_has_to_be_ended():
    async with Site() as site, web(site) as client:
        begun = await client.post("/xmlapi/session/begin")
        assert begun.status_code == 204
        assert begun.headers["set-cookie"].startswith("SessionId=")
        client.auth = httpx.Auth()  # none
        for _ in range(3):
            await get(client, "/Status/SystemUnit/Uptime")
        assert site.devices[0].logins == 1
        assert len(site.devices[0].sessions) == 1
        assert (await client.post("/xmlapi/session/end")).status_code == 204
        assert not site.devices[0].sessions
        assert (await client.get("/status.xml")).status_code == 401


async def test_sessions_that_are_never_ended_shut_everybody_out():
    async with Site() as site, web(site) as client:
        for _ in range(20):
            client.cookies.clear()
            assert (await client.post("/xmlapi/session/begin")).status_code == 204
        client.cookies.clear()
        assert (await client.post("/xmlapi/session/begin")).status_code == 503
        assert (await client.get("/status.xml")).status_code == 503
        site.devices[0].fault(exhausted_status=403)
        assert (await client.get("/status.xml")).status_code == 403
        site.devices[0].reboot(0, answers="502")
        await site.until(lambda: not site.devices[0].down)
        async with web(site) as later:
            assert (await later.post("/xmlapi/session/begin")).status_code == 204


async def test_the_websocket_and_http_share_a_port():
    async with Site() as site, dial(site) as client, web(site) as xml:
        assert await client.get("Status", "RoomAnalytics", "PeopleCount", "Current") == 0
        await get(xml, "/Status/SystemUnit/Uptime")
        site.devices[0].offer(websocket=False)
        async with web(site) as fresh:
            await get(fresh, "/Status/SystemUnit/Uptime")
        site.devices[0].offer(websocket=True, http=False)
        async with web(site) as refused:
            assert (await refused.get("/status.xml")).status_code == 404
        async with dial(site) as again:
            await again.get("Status", "SystemUnit", "Uptime")
        site.devices[0].offer(websocket=False, http=False)
        async with web(site) as closed:
            with pytest.raises(httpx.ConnectError):
                await closed.get("/status.xml")


@pytest.mark.parametrize("status", [404, 500, 502, 503])
async def test_http_can_answer_with_any_status(status: int):
    async with Site() as site, web(site) as client:
        site.devices[0].fault(http_status=status)
        assert (await client.get("/status.xml")).status_code == status
        site.devices[0].clear_faults()
        assert (await client.get("/status.xml")).status_code == 200


async def test_a_device_that_boots_answers_with_502():
    async with Site(clock=ManualClock()) as site:
        site.devices[0].reboot(30)
        async with web(site) as client:
            assert (await client.get("/status.xml")).status_code == 502


async def test_what_is_no_http_is_answered_with_400():
    async with Site() as site:
        device = site.devices[0]
        reader, writer = await asyncio.open_connection(device.host, device.port, ssl=site.client_context())
        writer.write(b"Hello there\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        writer.close()


# HttpFeedback


async def register(
    site: Site, receiver: Receiver, *expressions: str, slot: int = 1, form: str = "JSON"
) -> str:
    async with web(site) as client:
        given = {
            "FeedbackSlot": slot,
            "ServerUrl": receiver.url,
            "Format": form,
            "Expression": list(expressions),
        }
        [result] = await put(client, command("HttpFeedback Register", **given))
        return result.get("status", "")


async def slots(site: Site) -> dict[str, dict[str, str]]:
    async with web(site) as client:
        found = ET.fromstring(await get(client, "/Status/HttpFeedback"))
        return {
            slot.get("item", ""): {child.tag: child.text or "" for child in slot}
            for slot in found.findall("HttpFeedback")
        }


async def test_a_slot_is_told_in_json_by_a_device_that_says_who_it_is():
    async with Site() as site, receiving() as receiver:
        assert await register(site, receiver, "/Status/RoomAnalytics", "/Event/Bookings") == "OK"
        device = site.devices[0]
        device.count_people(4)
        post = await receiver.next()
        assert (post.target, post.sender) == ("/secret?x=1", device.host)
        assert post.headers["user-agent"] == "Cisco/CE"
        status = post.json["Status"]
        assert status["Identification"]["SerialNumber"] == {"Value": device.serial}
        assert status["Identification"]["SystemName"] == {"Value": device.name}
        assert status["RoomAnalytics"]["PeopleCount"] == {"Current": {"Value": "4"}}
        device.book_in_outlook(AWKWARD)
        created = (await receiver.next(2)).json["Event"]["Bookings"]["BookingCreated"]
        assert created["Title"] == {"Value": AWKWARD, "id": "1"}
        assert (await receiver.next(3)).json["Event"]["Bookings"]["Updated"] == {"id": "1"}
        await site.until(lambda: device.slots.posted == 3)
        assert receiver.connections == 1


@pytest.mark.parametrize(("version", "item"), [("9.15", ' item="1"'), ("26.4", "")])
async def test_a_slot_is_told_in_xml(version: str, item: str):
    async with Site(profile=version) as site, receiving() as receiver:
        await register(site, receiver, "/Event/Bookings/Updated", form="XML")
        site.devices[0].book_in_outlook("Weekly")
        post = await receiver.next()
        assert post.headers["content-type"] == "text/xml; charset=utf-8"
        event = ET.fromstring(post.body)
        assert event.findtext("Identification/SerialNumber") == site.devices[0].serial
        assert f"<Updated{item}/>" in post.body.decode()


async def test_slots_are_listed_overwritten_and_freed():
    async with Site() as site, receiving() as receiver:
        await register(site, receiver, "/Status/Standby", "/Event/Bookings", slot=2)
        listed = await slots(site)
        assert listed == {
            "2": {"Expression": "/Event/Bookings", "Format": "JSON", "Status": "OK", "URL": receiver.url}
        }
        assert (site.devices[0].subscriptions, site.census()["connected"]) == (2, 1)
        await register(site, receiver, "/Status/Standby", slot=2, form="XML")
        assert (await slots(site))["2"]["Format"] == "XML"
        async with web(site) as client:
            await put(client, command("HttpFeedback Deregister", FeedbackSlot=2))
        assert await slots(site) == {}
        assert not site.devices[0].lines


@pytest.mark.parametrize(("version", "most"), [("9.15", 15), ("11.27", 15), ("26.4", 50)])
async def test_a_slot_takes_so_many_expressions(version: str, most: int):
    async with Site(profile=version) as site, receiving() as receiver:
        assert await register(site, receiver, *["/Status/Standby"] * most) == "OK"
        assert await register(site, receiver, *["/Status/Standby"] * (most + 1)) == "Error"
        assert await register(site, receiver, "/Status/Standby", slot=5) == "Error"


@pytest.mark.parametrize("status", [404, 500])
async def test_a_slot_whose_post_is_refused_is_deactivated_until_it_is_enabled(status: int):
    async with Site() as site, receiving() as receiver:
        await register(site, receiver, "/Status/RoomAnalytics/PeopleCount")
        device = site.devices[0]
        receiver.status = status
        device.count_people(1)
        await site.until(lambda: device.status("HttpFeedback", 1, "Status") == "Failed")
        device.count_people(2)
        receiver.status = 200
        async with web(site) as client:
            await put(client, command("HttpFeedback Enable", FeedbackSlot=1))
        assert (await slots(site))["1"]["Status"] == "OK"
        device.count_people(3)
        heard = [(await receiver.next(number)).json for number in (1, 2)]
        counts = [one["Status"]["RoomAnalytics"]["PeopleCount"]["Current"]["Value"] for one in heard]
        assert counts == ["1", "3"]


async def test_a_receiver_that_is_away_is_tried_eleven_times():
    async with Site() as site, receiving() as receiver:
        device = site.devices[0]
        device.slots.retry_rest_s = 0.001
        device.fault(retries_refused_posts=True)
        receiver.status = 503
        await register(site, receiver, "/Status/RoomAnalytics/PeopleCount")
        device.count_people(1)
        await site.until(lambda: device.status("HttpFeedback", 1, "Status") == "Failed")
        assert len(receiver.posts) == 11


async def test_a_receiver_that_comes_back_in_time_misses_nothing():
    async with Site() as site, receiving() as receiver:
        device = site.devices[0]
        device.slots.retry_rest_s = 0.01
        async with receiving() as away:
            url = away.url
        receiver_url, receiver.url = receiver.url, url
        await register(site, receiver, "/Status/RoomAnalytics/PeopleCount")
        device.count_people(1)
        await site.until(lambda: device.status("HttpFeedback", 1, "Status") == "Failed")
        receiver.url = receiver_url
        await register(site, receiver, "/Status/RoomAnalytics/PeopleCount")
        device.count_people(2)
        assert "2" in (await receiver.next()).body.decode()


def certified(authority: Authority) -> ssl.SSLContext:
    return authority.identify("127.0.0.1").context


async def test_https_receivers_are_verified_unless_told_not_to():
    other = Authority()
    async with Site() as site, receiving(certified(other)) as receiver:
        device = site.devices[0]
        device.slots.retry_rest_s = 0.001
        await register(site, receiver, "/Status/RoomAnalytics/PeopleCount")
        device.count_people(1)
        await site.until(lambda: device.status("HttpFeedback", 1, "Status") == "Failed")
        assert receiver.posts == []
        site.trust(other.pem.decode())
        device.slots.enable(1)
        device.count_people(2)
        await receiver.next()
    async with Site() as site, receiving(certified(Authority())) as receiver:
        site.devices[0].configure(("Configuration", "HttpFeedback", "TlsVerify"), "Off")
        await register(site, receiver, "/Status/RoomAnalytics/PeopleCount")
        site.devices[0].count_people(2)
        await receiver.next()


async def test_strangers_and_giants_can_post():
    async with Site() as site, receiving() as receiver:
        await register(site, receiver, "/Status/RoomAnalytics/PeopleCount")
        site.devices[0].post_as_stranger()
        stranger = (await receiver.next()).json["Status"]["Identification"]["SerialNumber"]["Value"]
        assert stranger != site.devices[0].serial
        site.devices[0].post_huge()
        assert len((await receiver.next(2)).body) > 10_000_000
        site.devices[0].send_junk("truncated")
        with pytest.raises(json.JSONDecodeError):
            _ = (await receiver.next(3)).json


async def test_slots_can_be_deactivated_lost_and_gone_after_a_reboot():
    async with Site() as site, receiving() as receiver:
        device = site.devices[0]
        await register(site, receiver, "/Status/RoomAnalytics/PeopleCount")
        device.deactivate_slots()
        assert (await slots(site))["1"]["Status"] == "Failed"
        device.lose_feedback()
        assert await slots(site) == {}
        await register(site, receiver, "/Status/RoomAnalytics/PeopleCount")
        device.fault(slots_survive_reboot=True)
        device.reboot(0)
        await site.until(lambda: not device.down)
        assert "1" in await slots(site)
        device.clear_faults()
        device.reboot(0)
        await site.until(lambda: not device.down)
        assert await slots(site) == {}


async def test_a_flood_reaches_slots_and_shells():
    async with Site() as site, receiving() as receiver:
        await register(site, receiver, "/Status/RoomAnalytics/PeopleCount")
        site.flood.start(200)
        await receiver.next(5)
        site.flood.stop()
        values = [
            post.json["Status"]["RoomAnalytics"]["PeopleCount"]["Current"]["Value"]
            for post in receiver.posts[:5]
        ]
        assert values == ["1", "2", "3", "4", "5"]
