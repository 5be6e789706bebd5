"""What a device says over SSH: greeting, modes, answers, feedback and errors."""

import asyncio
import json

import asyncssh
import pytest

from tests.simulator import (
    ALL_VERSIONS,
    AWKWARD_TITLES,
    NO_ANALYTICS,
    STANDALONE_NAVIGATOR,
    TEAMS_ROOMS,
    Answer,
    Device,
    ManualClock,
    Site,
)
from tests.simulator_tests.shell_client import ShellClient, json_shell, plain, shell, without_escapes

COUNT = "Status/RoomAnalytics/PeopleCount/Current"
AWKWARD = 'Budget {2027}\n** end\n}\nOK "quoted" \\ <b>&amp;</b>'


async def connect(device: Device, **options: object) -> asyncssh.SSHClientConnection:
    known: dict[str, object] = {
        "username": device.user,
        "password": device.password,
        "known_hosts": asyncssh.import_known_hosts(device.known_hosts),
        "client_keys": None,
        "agent_path": None,
        "config": None,
    }
    return await asyncssh.connect(device.host, device.ssh_port, **(known | options))


# Who comes in


@pytest.mark.parametrize("way", ["password", "keyboard-interactive"])
async def test_either_way_of_logging_in_will_do(way: str):
    async with Site() as site:
        async with await connect(site.devices[0], preferred_auth=way) as connection:
            key = connection.get_server_host_key()
            assert key
            assert key.get_fingerprint() == site.devices[0].host_key
        assert site.devices[0].logins == 1


async def test_a_way_of_logging_in_can_be_missing():
    async with Site() as site:
        site.devices[0].fault(ssh_password=False)
        with pytest.raises(asyncssh.PermissionDenied):
            await connect(site.devices[0], preferred_auth="password")
        async with await connect(site.devices[0]):
            pass
        site.devices[0].fault(ssh_keyboard=False)
        with pytest.raises(asyncssh.PermissionDenied):
            await connect(site.devices[0])


async def test_a_wrong_password_is_refused_and_counted():
    async with Site() as site:
        with pytest.raises(asyncssh.PermissionDenied):
            await connect(site.devices[0], password="wrong", preferred_auth="password")
        assert (site.devices[0].failed_logins, site.devices[0].logins) == (1, 0)


async def test_host_keys_follow_from_the_seed_and_can_be_renewed():
    async with Site(2, seed=3) as site:
        keys = [device.host_key for device in site.devices]
        assert len(set(keys)) == 2
        known = site.devices[0].known_hosts
        site.renew_host_key(site.devices[0])
        await site.until(lambda: site.devices[0].host_key != keys[0])
        with pytest.raises((asyncssh.HostKeyNotVerifiable, OSError)):
            await connect(site.devices[0], known_hosts=asyncssh.import_known_hosts(known))
    async with Site(2, seed=3) as again:
        assert [device.host_key for device in again.devices] == keys


async def test_one_shell_per_connection():
    async with Site() as site, shell(site) as client:
        with pytest.raises(asyncssh.ChannelOpenError):
            await client.connection.create_process()


async def test_ssh_can_be_switched_off_and_on():
    async with Site() as site, shell(site) as client:
        await client.until("OK\n")
        site.devices[0].offer(ssh=False)
        with pytest.raises(EOFError):
            await client.until("never")
        with pytest.raises(OSError, match="onnect"):
            await connect(site.devices[0])
        site.devices[0].offer(ssh=True)
        await site.until(lambda: site.devices[0].open_to_ssh)
        async with asyncio.timeout(5):
            while True:
                try:
                    (await connect(site.devices[0])).abort()
                except OSError:
                    await asyncio.sleep(0)
                else:
                    break


# The greeting


@pytest.mark.parametrize("version", ALL_VERSIONS.values())
async def test_the_greeting_says_which_firmware_it_is(version: str):
    async with Site(profile=version) as site, shell(site) as client:
        greeting = await client.until("OK\n")
        release = f"ce {version}" if version.startswith("9.") else f"RoomOS {version}"
        assert f"Cisco Codec Release {release}" in greeting
        assert "*r Login successful\n" in greeting
        assert greeting.endswith("\n\nOK\n") is version.startswith("9.")


@pytest.mark.parametrize(("where", "first"), [("before", "Last login"), ("after", "OK\n")])
async def test_the_last_login_is_told_on_either_side_of_ok(where: str, first: str):
    async with Site() as site:
        site.devices[0].fault(last_login=where)
        async with shell(site) as client:
            greeting = await client.until("OK\n")
            assert ("Last login" in greeting) is (where == "before")
            client.say("echo off\n")
            await client.until("\nOK\n")


async def test_the_shell_echoes_until_it_is_told_not_to():
    async with Site() as site, shell(site) as client:
        await client.until("OK\n")
        client.say("xStatus SystemUnit Uptime\n")
        assert "xStatus SystemUnit Uptime\n" in await client.until("** end\n\nOK\n")
        client.say("echo off\n")
        await client.until("\nOK\n")
        client.say("xStatus SystemUnit Uptime\n")
        assert "xStatus" not in await client.until("** end\n\nOK\n")


async def test_a_terminal_gets_its_escapes_and_its_ends_of_lines():
    async with Site() as site, shell(site, terminal="xterm") as client:
        await client.until("OK\r\n")
        client.say("echo off\r")
        answer = await client.until("OK\r\n")
        assert "\x1b[?1034h\r\nOK\r\n" in answer
        assert without_escapes(answer) != answer


# JSON


async def test_values_are_all_text():
    async with Site() as site, json_shell(site) as client:
        status = await client.ask("xStatus RoomAnalytics PeopleCount")
        count = {"Capacity": {"Value": "10"}, "Current": {"Value": "0"}}
        assert status == {"Status": {"RoomAnalytics": {"PeopleCount": count}}}
        address = await client.ask("xStatus Network 1 IPv4 Address")
        [network] = address["Status"]["Network"]
        assert network == {"id": "1", "IPv4": {"Address": {"Value": site.devices[0].host}}}


@pytest.mark.parametrize(
    "path", ["SystemUnit Uptime", "/SystemUnit/Uptime", "Status/SystemUnit/Uptime", "systemunit uptime"]
)
async def test_paths_have_several_spellings(path: str):
    async with Site() as site, json_shell(site) as client:
        assert (await client.ask(f"xStatus {path}"))["Status"]["SystemUnit"].keys() == {"Uptime"}


async def test_configurations_are_read_set_and_refused():
    async with Site() as site, json_shell(site) as client:
        assert await client.ask("xConfiguration RoomAnalytics PeopleCountOutOfCall: Off") == {}
        read = await client.ask("xConfiguration RoomAnalytics PeopleCountOutOfCall")
        leaf = {"Value": "Off", "valueSpaceRef": "/Valuespace/TTPAR_OnOff"}
        assert read == {"Configuration": {"RoomAnalytics": {"PeopleCountOutOfCall": leaf}}}
        wrong = await client.ask("xConfiguration RoomAnalytics PeopleCountOutOfCall: Perhaps")
        error = {"error": "True", "Value": "Illegal value"}
        assert wrong == {"Configuration": {"RoomAnalytics": {"PeopleCountOutOfCall": error}}}


async def test_a_command_answers_under_its_last_two_words():
    async with Site() as site, json_shell(site) as client:
        empty = (await client.ask("xCommand Bookings List Days: 1"))["CommandResponse"]
        result = empty["BookingsListResult"]
        assert result["status"] == "OK"
        assert result["ResultInfo"] == {"TotalRows": {"Value": "0"}}
        assert "Booking" not in result
        shown = await client.ask('xCommand UserInterface Message Prompt Display Text: "Still here?"')
        assert shown == {"CommandResponse": {"PromptDisplayResult": {"status": "OK"}}}


@pytest.mark.parametrize("version", ["9.15", "26.4"])
async def test_no_title_breaks_the_framing(version: str):
    async with Site(profile=version) as site, json_shell(site) as client:
        for title in AWKWARD_TITLES:
            site.devices[0].book_in_outlook(title)
        answer = (await client.ask("xCommand Bookings List"))["CommandResponse"]["BookingsListResult"]
        assert {plain(row["Title"]) for row in answer["Booking"]} == set(AWKWARD_TITLES)


@pytest.mark.parametrize("lacking", [TEAMS_ROOMS, STANDALONE_NAVIGATOR, NO_ANALYTICS])
async def test_a_device_can_lack_some_nodes(lacking: tuple[str, ...]):
    async with Site() as site, json_shell(site) as client:
        device = site.devices[0]
        device.lack(*lacking)
        for node in lacking:
            root, _, path = node.partition(" ")
            answer = await client.ask(f"x{root} {path}" if root != "Event" else f"xFeedback Register {node}")
            assert "Error" in json.dumps(answer), node
        device.count_people(3)
        device.book_in_outlook("Unheard")
        assert "Bookings Updated" in device.told or "Event Bookings" in lacking
        assert device.truth()["people_in_room"] == 3


async def test_bookings_keep_their_shape_and_their_text():
    async with Site() as site, json_shell(site) as client:
        site.devices[0].book_in_outlook(AWKWARD, number="sip:room@example.com")
        answer = (await client.ask("xCommand Bookings List"))["CommandResponse"]["BookingsListResult"]
        [row] = answer["Booking"]
        assert row["id"] == "1"
        assert row["Title"] == {"Value": AWKWARD}
        assert row["Time"]["StartTimeBuffer"] == {"Value": "300"}
        assert plain(row["DialInfo"]["Calls"]["Call"]) == [
            {"Number": "sip:room@example.com", "Protocol": "WebRTC"}
        ]


async def test_errors_of_commands():
    async with Site() as site, json_shell(site) as client:
        unknown = (await client.ask("xCommand Dila"))["CommandResponse"]["Result"]
        assert (unknown["status"], plain(unknown["XPath"])) == ("Error", "/Dila")
        assert plain(unknown["Reason"]) == "Unknown command"
        odd = (await client.ask("xCommand Bookings List Weeks: 1"))["CommandResponse"]
        assert odd["BookingsListResult"]["status"] == "ParameterError"
        site.devices[0].fault(command_errors={"Bookings List": 1})
        failed = (await client.ask("xCommand Bookings List"))["CommandResponse"]["BookingsListResult"]
        assert (failed["status"], plain(failed["Reason"])) == ("Error", "Simulated failure")


@pytest.mark.parametrize("version", ALL_VERSIONS.values())
async def test_a_wrong_path_is_told_in_two_shapes(version: str):
    async with Site(profile=version) as site, json_shell(site) as client:
        answer = await client.ask("xStatus Wrong")
        if version.startswith("9."):
            [body] = answer["CommandResponse"].values()
        else:
            body = answer["Status"]
        assert body["status"] == "Error"
        assert plain(body["Reason"]).startswith("No match on address expression")
        assert plain(body["XPath"]) == "Status/Wrong"


@pytest.mark.parametrize("line", ["", 'xCommand Dial Number: "half', "coffee", "xStatus Audio Volume: "])
async def test_what_is_no_command_is_answered_in_bare_text(line: str):
    async with Site() as site, json_shell(site) as client:
        client.say(f"{line or 'help me'}\n")
        assert "Command not recognized.\n" in await client.until("recognized.\n")
        assert await client.ask("xStatus SystemUnit Uptime")


async def test_a_parameter_may_hold_what_looks_like_syntax():
    async with Site() as site, json_shell(site) as client:
        text = r'"He said \"| resultId=\" and left {7}: \\"'
        await client.ask(f"xCommand UserInterface Message Alert Display Text: {text} Duration: 5")
        shown = site.devices[0].screen.alert
        assert shown
        assert shown.text("Text") == 'He said "| resultId=" and left {7}: \\'
        assert shown.text("Duration") == "5"


async def test_answers_come_in_the_order_of_the_questions():
    async with Site() as site, json_shell(site) as client:
        site.devices[0].fault(reply_delay_s=0.01)
        client.say("".join(f'xStatus SystemUnit Uptime | resultId="{n}"\n' for n in range(5)))
        assert [(await client.message())["ResultId"] for _ in range(5)] == list("01234")


def pushed(count: int, title: str = "Pushed") -> str:
    time = {"StartTime": "2026-03-02T10:00:00Z", "Duration": 30}
    called = {"Number": "", "Protocol": "SIP", "Organizer": {"Name": "Ada"}}
    rows = [{"Id": f"p-{n}", "Title": title, "Time": time, **called} for n in range(count)]
    return json.dumps({"Bookings": rows}, indent=1, ensure_ascii=False)


async def test_a_body_is_counted_in_bytes_or_ends_with_a_dot():
    async with Site(clock=ManualClock(), calendar="pushed") as site, json_shell(site) as client:
        command, body = 'xCommand Bookings Put | resultId="1"\n', pushed(2, "Möte på norsk") + "\n"
        client.say(f"{{{len((command + body).encode())}}} \n{command}{body}")
        assert (await client.message())["ResultId"] == "1"
        assert [b.title for b in site.devices[0].agenda()] == ["Möte på norsk"] * 2
        client.say(f'xCommand Bookings Put | resultId="2"\n{pushed(1)}\n.\n')
        assert (await client.message())["ResultId"] == "2"
        assert len(site.devices[0].agenda()) == 1
        assert await client.ask("xStatus SystemUnit Uptime")


async def test_a_body_counted_in_characters_leaves_something_over():
    async with Site(clock=ManualClock(), calendar="pushed") as site, json_shell(site) as client:
        command, body = 'xCommand Bookings Put | resultId="1"\n', pushed(1, "ÆØÅ") + "\n"
        client.say(f"{{{len(command + body)}}} \n{command}{body}\n")
        await client.until("Command not recognized.\n")


async def test_bye_ends_the_shell():
    async with Site() as site, json_shell(site) as client:
        client.say("bye\n")
        with pytest.raises(EOFError):
            await client.until("never")
        await site.until(lambda: not site.devices[0].lines)


# Feedback


async def test_feedback_is_told_once_however_many_expressions_cover_it():
    async with Site() as site, json_shell(site) as client:
        for expression in (f"/{COUNT}", "Status/RoomAnalytics", "/Status/RoomAnalytics/PeopleCount"):
            assert await client.ask(f"xFeedback Register {expression}") == {}
        site.devices[0].set_status({("Status", "RoomAnalytics", "PeopleCount", "Current"): 4})
        told = await client.message()
        assert told == {"Status": {"RoomAnalytics": {"PeopleCount": {"Current": {"Value": "4"}}}}}
        await client.ask("xStatus SystemUnit Uptime")
        assert site.devices[0].subscriptions == 3


async def test_events_have_an_id_at_every_level():
    async with Site(calendar="on_device") as site, json_shell(site) as client:
        await client.ask("xFeedback Register /Event/Bookings")
        site.devices[0].request_booking("Ad hoc")
        requested = (await client.message())["Event"]["Bookings"]
        assert requested["id"] == "1"
        assert requested["BookingRequested"]["id"] == "1"
        assert requested["BookingRequested"]["Duration"] == {"Value": "30", "id": "1"}
        await client.message()
        assert (await client.message())["Event"]["Bookings"] == {"Updated": {"id": "1"}, "id": "1"}


async def test_feedback_can_come_between_a_command_and_its_answer():
    async with Site(calendar="on_device") as site, json_shell(site) as client:
        await client.ask("xFeedback Register /Event/Bookings/BookingRequested")
        client.say('xCommand Bookings Book Title: "Ad hoc" Duration: 15 | resultId="9"\n')
        assert "Event" in await client.message()
        assert (await client.message())["ResultId"] == "9"


async def test_what_ends_is_told_as_a_ghost():
    async with Site() as site, json_shell(site) as client:
        site.devices[0].share()
        await client.ask("xFeedback Register Status/Conference/Presentation/LocalInstance")
        site.devices[0].stop_sharing()
        [gone] = (await client.message())["Status"]["Conference"]["Presentation"]["LocalInstance"]
        assert gone == {"id": "1", "ghost": "True"}


async def test_some_events_are_a_bare_value():
    async with Site() as site, json_shell(site) as client:
        await client.ask("xFeedback Register /Event/Standby")
        site.devices[0].warn_of_standby(30)
        standby = {"SecondsToStandby": {"Value": "30", "id": "1"}, "id": "1"}
        assert await client.message() == {"Event": {"Standby": standby}}


@pytest.mark.parametrize(("version", "limit"), [("9.15", 38), ("10.19", 38), ("11.14", 50), ("26.4", 50)])
async def test_a_shell_takes_so_many_expressions(version: str, limit: int):
    async with Site(profile=version) as site, json_shell(site) as client:
        site.devices[0].fault(accepts_unknown_queries=True)
        for number in range(limit):
            assert await client.ask(f"xFeedback Register /Status/Some/Node{number}") == {}
        refused = await client.ask("xFeedback Register /Status/One/More")
        assert refused["CommandResponse"]["Result"]["status"] == "Error"
        assert await client.ask("xFeedback Register /Status/Some/Node3") == {}


async def listed(client: ShellClient) -> list[str]:
    client.say("xFeedback List\n")
    return [line for line in (await client.until("** end\n")).splitlines() if line.startswith("/")]


async def test_registrations_are_listed_removed_and_lost():
    async with Site() as site, json_shell(site) as client:
        for expression in ("Event/Bookings", "/Status/Standby", "/Configuration/RoomAnalytics"):
            await client.ask(f"xFeedback Register {expression}")
        assert await listed(client) == ["/Event/Bookings", "/Status/Standby", "/Configuration/RoomAnalytics"]
        assert await client.ask("xFeedback Deregister Status/Standby") == {}
        assert await listed(client) == ["/Event/Bookings", "/Configuration/RoomAnalytics"]
        site.devices[0].lose_feedback()
        assert await listed(client) == []
        site.devices[0].book_in_outlook("Unheard")
        await client.ask("xFeedback Register Event/Bookings")
        assert await client.ask("xFeedback DeregisterAll") == {}
        assert await listed(client) == []


async def test_what_a_firmware_does_not_have_cannot_be_registered():
    async with Site(profile="9.15") as site, json_shell(site) as client:
        assert await client.ask("xFeedback Register /Event/Bookings/Updated") == {}
        refused = await client.ask("xFeedback Register /Event/Bookings/BookingCreated")
        [body] = refused["CommandResponse"].values()
        assert body["status"] == "Error"
        device = site.devices[0]
        device.answer = Answer(after_s=0)
        device.request_booking("Ad hoc", answer=Answer(after_s=0, listed_early=True))
        assert (await client.message())["Event"]["Bookings"] == {"Updated": {"id": "1"}, "id": "1"}


# The other modes


async def test_terminal_mode_is_for_people():
    async with Site() as site, shell(site) as client:
        await client.until("OK\n")
        client.say("echo off\n")
        await client.until("\nOK\n")
        client.heard = ""
        client.say('xStatus RoomAnalytics PeopleCount Current | resultId="a"\n')
        said = (await client.until("OK\n")).lstrip()
        if said.startswith("Last"):
            said = said[said.index("*s") :]
        assert said == '*s RoomAnalytics PeopleCount Current: 0\n** resultId: "a"\n** end\n\nOK\n'
        client.say("xFeedback Register Event/UserInterface/Message/Prompt/Response\n")
        assert (await client.until("OK\n")) == "** end\n\nOK\n"
        client.say("xCommand Bookings List\n")
        assert "OK\n*r BookingsListResult (status=OK):\n" in await client.until("** end\n")
        site.devices[0].show_foreign(feedback_id="hold-1", options=("Yes", "No"))
        site.devices[0].answer_prompt(2, feedback_id="hold-1")
        told = await client.until("** end\n")
        assert '*e UserInterface Message Prompt Response FeedbackId: "hold-1"\n' in told
        assert "*e UserInterface Message Prompt Response OptionId: 2\n" in told


async def test_terminal_mode_does_not_protect_its_own_ends():
    async with Site() as site, shell(site) as client:
        await client.until("OK\n")
        site.devices[0].book_in_outlook(AWKWARD)
        client.say("echo off\nxCommand Bookings List\n")
        text = await client.until("Booking 1 Webex")
        assert '*r BookingsListResult Booking 1 Title: "Budget {2027}\n** end\n' in text


@pytest.mark.parametrize("version", ["9.15", "26.4"])
async def test_xml_mode_wraps_everything_in_a_document(version: str):
    async with Site(profile=version) as site, shell(site) as client:
        await client.until("OK\n")
        client.say("echo off\nxpreferences outputmode xml\n")
        await client.until("\nOK\n")
        client.heard = ""
        client.say('xFeedback Register /Event/Bookings | resultId="1"\n')
        assert (await client.until("</XmlDoc>\n")).endswith('<XmlDoc resultId="1">\n</XmlDoc>\n')
        site.devices[0].book_in_outlook(AWKWARD)
        item = ' item="1"' if version == "9.15" else ""
        await client.until(f'<XmlDoc resultId="">\n<Event>\n  <Bookings{item}>\n')
        while "<Updated" not in client.heard:
            await client.more()
        assert f"<Updated{item}/>" in client.heard
        client.say('xCommand Bookings List | resultId="2"\n')
        listing = await client.until('<XmlDoc resultId="2">\n') + await client.until("</XmlDoc>\n")
        assert f'BookingsListResult{item} status="OK"' in listing
        assert "&lt;b&gt;&amp;amp;" in listing
        client.say("xFeedback List\n")
        assert (await client.until("</XmlDoc>\n")) == '<XmlDoc resultId="">\n/Event/Bookings\n</XmlDoc>\n'


@pytest.mark.parametrize(("how", "says"), [("refused", "Command not recognized.\n"), ("ignored", "OK\n")])
async def test_json_may_not_be_understood(how: str, says: str):
    async with Site() as site, shell(site) as client:
        site.devices[0].fault(json_output=how)
        await client.until("OK\n")
        client.say("echo off\n")
        await client.until("\nOK\n")
        client.heard = ""
        client.say("xpreferences outputmode json\n")
        await client.until(says)
        client.say("xStatus SystemUnit Uptime\n")
        assert "*s SystemUnit Uptime: " in await client.until("** end\n")


# What goes wrong


async def test_bytes_can_come_in_odd_places():
    async with Site() as site, json_shell(site) as client:
        site.devices[0].fault(fragmented=True)
        site.devices[0].book_in_outlook("Möte " * 20)
        answer = await client.ask("xCommand Bookings List")
        assert "Möte Möte" in json.dumps(answer, ensure_ascii=False)


async def test_feedback_can_be_batched_doubled_and_lost():
    async with Site() as site, json_shell(site) as client:
        await client.ask(f"xFeedback Register /{COUNT}")
        device = site.devices[0]
        device.fault(batch_s=0.02)
        for people in (1, 2, 3):
            device.count_people(people)
        counts = [plain(await client.message())["Status"]["RoomAnalytics"]["PeopleCount"] for _ in range(3)]
        assert [count["Current"] for count in counts] == ["1", "2", "3"]
        device.clear_faults()
        device.fault(duplicate_frames=True)
        device.count_people(4)
        assert await client.message() == await client.message()
        device.clear_faults()
        device.fault(drop_frames=1)
        device.count_people(5)
        device.count_people(6)
        assert "6" in json.dumps(await client.message())


async def test_a_shell_can_hang_while_ssh_lives():
    async with Site() as site, json_shell(site) as client:
        site.devices[0].fault(silent=True)
        client.say("xStatus SystemUnit Uptime\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.more()
        site.devices[0].clear_faults()
        await client.ask("xStatus SystemUnit Uptime")


async def test_a_connection_can_be_half_open():
    async with Site() as site, json_shell(site) as client:
        site.devices[0].hold_open()
        client.say('xStatus SystemUnit Uptime | resultId="late"\n')
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.more()
        site.devices[0].let_go()
        assert (await client.message())["ResultId"] == "late"


async def test_the_shell_can_be_closed_and_the_connection_kept():
    async with Site() as site, json_shell(site) as client:
        site.devices[0].close_shells()
        with pytest.raises(EOFError):
            await client.until("never")
        await site.until(lambda: not site.devices[0].lines)
        assert len(site.devices[0].visitors) == 1


@pytest.mark.parametrize("how", ["reset", "close", "end"])
async def test_connections_can_be_cut(how: str):
    async with Site() as site:
        connection = await connect(site.devices[0])
        site.devices[0].cut(how)  # type: ignore[arg-type]
        await connection.wait_closed()
        await site.until(lambda: not site.devices[0].visitors)


async def test_a_reboot_closes_the_port_for_a_while():
    async with Site(clock=ManualClock()) as site, json_shell(site) as client:
        site.devices[0].reboot(30)
        with pytest.raises(EOFError):
            await client.until("never")
        with pytest.raises(OSError, match="onnect"):
            await connect(site.devices[0])
        site.advance(30)
        async with asyncio.timeout(5):
            while site.devices[0].logins < 2:
                try:
                    (await connect(site.devices[0])).abort()
                except OSError:
                    await asyncio.sleep(0)


@pytest.mark.parametrize(
    "kind", ["text", "array", "truncated", "unknown_node", "unknown_event", "unknown_reply", "deep"]
)
async def test_a_shell_can_send_junk(kind: str):
    async with Site() as site, json_shell(site) as client:
        site.devices[0].send_junk(kind)  # type: ignore[arg-type]
        assert await client.more()
