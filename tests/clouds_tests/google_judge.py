"""Google's own client asks a Google cloud and tells, one JSON object per line, what it saw.

Usage: python google_judge.py URL key-file admin room user hook; it needs google-api-python-client in its
environment, and nothing of this project. `hook` is where notifications go.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from google.auth.exceptions import RefreshError  # type: ignore[import-not-found]
from google.oauth2 import service_account  # type: ignore[import-not-found]
from googleapiclient.discovery import build  # type: ignore[import-not-found]
from googleapiclient.errors import HttpError  # type: ignore[import-not-found]

SCOPES = "https://www.googleapis.com/auth/"
TODAY = {"timeMin": "2026-01-01T00:00:00Z", "timeMax": "2026-01-02T00:00:00Z"}


def tell(step: str, value: object) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps({"step": step, "value": value}) + "\n")
    sys.stdout.flush()


def refused(call: Callable[[], object]) -> list[object]:
    """Status and reason of an error."""
    try:
        call()
    except HttpError as error:
        return [error.resp.status, error.error_details[0]["reason"], error.reason]
    raise AssertionError("not refused")


def paged(resource: Any, method: str, items: str, **asked: object) -> list[Any]:  # noqa: ANN401
    """All items of all pages."""
    found = []
    request = getattr(resource, method)(**asked)
    while request is not None:
        answer = request.execute()
        found += answer.get(items, [])
        request = getattr(resource, f"{method}_next")(request, answer)
    return found


def main() -> None:  # noqa: PLR0915 - a story
    """Ask everything that roomd asks as well."""
    url, key_file, admin, room, user, hook = sys.argv[1:]

    def api(name: str, version: str, path: str, subject: str, *scopes: str) -> Any:  # noqa: ANN401
        signed = service_account.Credentials.from_service_account_file(
            key_file, scopes=[SCOPES + scope for scope in scopes], subject=subject
        )
        options = {"api_endpoint": url + path}
        return build(name, version, credentials=signed, static_discovery=True, client_options=options)

    directory = api("admin", "directory_v1", "", admin, "admin.directory.resource.calendar.readonly")
    rooms = paged(directory.resources().calendars(), "list", "items", customer="my_customer", maxResults=2)
    tell("rooms", [one["resourceName"] for one in rooms])
    buildings = paged(directory.resources().buildings(), "list", "buildings", customer="my_customer")
    tell("buildings", [one["buildingId"] for one in buildings])
    customers = api("admin", "directory_v1", "", admin, "admin.directory.customer.readonly").customers()
    tell("customer", customers.get(customerKey="my_customer").execute()["customerDomain"])

    calendar = api("calendar", "v3", "/calendar/v3/", admin, "calendar.readonly")
    events = calendar.events()
    asked: dict[str, Any] = {"calendarId": room, "singleEvents": True, **TODAY}
    day = paged(events, "list", "items", **asked, maxResults=2)
    tell("day", [one["summary"] for one in day])
    partial = events.list(**asked, fields="nextPageToken,items(id,attendees(self,responseStatus))").execute()
    tell("partial", [sorted(partial), *(sorted(one) for one in partial["items"][:1])])
    series = next(one["recurringEventId"] for one in day if "recurringEventId" in one)
    tell("instances", len(paged(events, "instances", "items", calendarId=room, eventId=series, **TODAY)))
    tell("got", events.get(calendarId=room, eventId=day[0]["id"]).execute()["summary"])
    tell("unknown", refused(events.list(calendarId="nobody@example.com").execute))
    tell("offsets", refused(events.list(calendarId=room, timeMin="2026-01-01T00:00:00").execute))
    whole = events.list(calendarId=room).execute()
    later = events.list(calendarId=room, syncToken=whole["nextSyncToken"]).execute()
    tell("since", [one["id"] for one in later["items"]])
    both = events.list(calendarId=room, syncToken=whole["nextSyncToken"], timeMin=TODAY["timeMin"])
    tell("sync_and_time", refused(both.execute))
    tell("sync_too_old", refused(events.list(calendarId=room, syncToken="old").execute))

    wanted = {"id": "judge-1", "type": "web_hook", "address": hook, "token": "t", "params": {"ttl": "3600"}}
    channel = events.watch(calendarId=room, body=wanted).execute()
    tell("channel", [channel["kind"], channel["id"], channel["token"], channel["expiration"].isdigit()])
    tell("channel_twice", refused(events.watch(calendarId=room, body=wanted).execute))
    plain = {**wanted, "id": "judge-2", "address": "http://example.com/"}
    tell("channel_plain", refused(events.watch(calendarId=room, body=plain).execute))
    tell("heard", sys.stdin.readline().strip())  # the test says that the channel's first word has come
    named = {"id": channel["id"], "resourceId": channel["resourceId"]}
    calendar.channels().stop(body=named).execute()
    tell("stopped_twice", refused(calendar.channels().stop(body=named).execute)[0])

    items = [{"id": room}, {"id": "nobody@example.com"}]
    busy = calendar.freebusy().query(body={**TODAY, "items": items}).execute()["calendars"]
    tell("busy", [busy[room]["busy"], busy["nobody@example.com"]["errors"][0]["reason"]])
    tell("setting", calendar.settings().get(setting="timezone").execute()["value"])
    tell("too_little", refused(events.quickAdd(calendarId="primary", text="Lunch").execute)[:2])

    mail = api("gmail", "v1", "", user, "gmail.settings.basic")
    tell("vacation", mail.users().settings().getVacation(userId="me").execute()["enableAutoReply"])

    writer = api("calendar", "v3", "/calendar/v3/", user, "calendar.events").events()
    meeting = {
        "summary": "Review",
        "start": {"dateTime": "2026-01-01T18:00:00+01:00"},
        "end": {"dateTime": "2026-01-01T19:00:00+01:00"},
        "attendees": [{"email": room, "resource": True}],
    }
    made = writer.insert(calendarId="primary", body=meeting, sendUpdates="none").execute()
    tell(
        "invited", events.get(calendarId=room, eventId=made["id"]).execute()["attendees"][0]["responseStatus"]
    )
    patch = {"summary": "Retro"}
    writer.patch(calendarId="primary", eventId=made["id"], body=patch).execute()
    tell("patched", events.get(calendarId=room, eventId=made["id"]).execute()["summary"])
    tell("quick", writer.quickAdd(calendarId="primary", text="Lunch").execute()["summary"])
    writer.delete(calendarId="primary", eventId=made["id"]).execute()
    tell("deleted", events.get(calendarId=room, eventId=made["id"]).execute()["status"])
    tell("deleted_twice", refused(writer.delete(calendarId="primary", eventId=made["id"]).execute)[:2])

    sharing = api("calendar", "v3", "/calendar/v3/", admin, "calendar.acls").acl()
    rule = {"role": "reader", "scope": {"type": "user", "value": user}}
    rule_id = sharing.insert(calendarId=room, body=rule).execute()["id"]
    tell("shared", [one["id"] for one in paged(sharing, "list", "items", calendarId=room)])
    sharing.delete(calendarId=room, ruleId=rule_id).execute()
    tell("unshared", [one["id"] for one in paged(sharing, "list", "items", calendarId=room)])

    try:
        api("drive", "v3", "", admin, "drive.readonly").files().list().execute()
    except RefreshError as error:
        tell("not_granted", error.args[1]["error"])
    tell("done", value=True)


if __name__ == "__main__":
    main()
