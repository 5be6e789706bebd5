"""wxc_sdk asks a Webex cloud and tells, one JSON object per line, what it saw.

Usage: API_MODEL_ALLOW_EXTRA=forbid python wxc_judge.py URL token; it needs wxc_sdk in its environment, and
nothing of this project.
"""

import json
import sys

from wxc_sdk import WebexSimpleApi  # type: ignore[import-not-found]
from wxc_sdk.rest import RestError, RestSession  # type: ignore[import-not-found]


def tell(step: str, value: object) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps({"step": step, "value": value}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Ask everything that roomd asks as well."""
    RestSession.BASE, token = sys.argv[1:]
    with WebexSimpleApi(tokens=token) as api:
        workspaces = list(api.workspaces.list())
        tell("workspaces", [one.display_name for one in workspaces])
        told = [one.calendar for one in workspaces if one.calendar]
        tell("calendars", [[one.calendar_type, one.email_address] for one in told if one.calendar_type])
        tell("with_google", [one.display_name for one in api.workspaces.list(calendar="google")])
        devices = list(api.devices.list(workspace_id=workspaces[0].workspace_id))
        tell("devices", [[one.connection_status, one.product, one.serial] for one in devices])
        device = devices[0].device_id
        names = ["RoomAnalytics.PeopleCount.Current", "SystemUnit.*"]
        tell("status", api.xapi.query_status(device, names).result)
        tell("listed", api.xapi.execute_command("Bookings.List", device, {"Days": 1}).result)
        try:
            api.workspaces.details("nowhere")
        except RestError as error:
            tell("unknown", [error.response.status_code, error.detail.tracking_id[:7]])
    tell("done", value=True)


main()
