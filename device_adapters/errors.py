"""What went wrong with a device, sorted by what the caller should do about it."""

from __future__ import annotations

from agent.core.model import Transport


class DeviceError(Exception):
    """The conversation is over, or could not begin; the text tells a technician why, without any secret."""

    mend = "look at the device"  # what a technician does about it


class DeviceUnreachable(DeviceError):
    """No line, or the line broke: dial again, more and more seldom."""

    mend = "check that it is switched on, its host in the configuration, and the network between"


class LineUseless(DeviceUnreachable):
    """A line stood and the device answered nothing over it: dial again, as another is tried first then."""

    mend = "nothing to do: another line to it is tried"


class CloudUnreachable(DeviceUnreachable):
    """Webex is not to be had, or does not have the device now: look again, more and more seldom."""

    mend = "see `roomd calendars` for Webex, and Control Hub for whether the device is on line there"


class NotInCloud(CloudUnreachable):
    """Webex is there, and has no such device."""

    mend = "check `webex` of this device in the configuration: its id or serial number as in Control Hub"


class DeviceBooting(DeviceError):
    """It is coming up (502 from the proxy in front, or "not ready"): look again soon and steadily."""

    mend = "it is starting; nothing to do"


class DeviceBusy(DeviceError):
    """It has too many connections (503): leave it alone for a while."""

    mend = "it has too many connections; look who else talks to it"


class DeviceTalksNonsense(DeviceError):
    """Not a room device, or not to be read (no HTTP, no JSON, too long): rest long, then look again."""

    mend = "check that its host and ports are a room device's"


class BetterLine(DeviceError):
    """Nothing went wrong: a better line to the device works, and the conversation goes on over that."""

    mend = "nothing to do"

    def __init__(self, why: str, *, transport: Transport) -> None:
        super().__init__(why)
        self.transport = transport


class DeviceRefused(DeviceError):
    """It turned us away, and dialling more does not help: a person must act."""

    mend = "look at the device"


class CertificateRefused(DeviceRefused):
    """We do not believe that it is the device (other fingerprint, other authority, other name)."""

    mend = (
        "if the device was replaced, write its new fingerprint (for SSH its new host_key) into the "
        "configuration, or name its authority with ca_file, and start roomd again"
    )


class ServiceOff(DeviceRefused):
    """It has not the service of this line, or the service is switched off (WebSocket: 404)."""

    mend = "switch it on: xConfiguration NetworkServices Websocket: FollowHTTPService"


class PermissionRefused(DeviceRefused):
    """The account exists, and may not read what makes a device (its role is too small)."""

    mend = "give the account the roles User and Integrator"


class ManifestTooSmall(PermissionRefused):
    """The workspace integration may not use what makes a device."""

    mend = "give the integration's manifest the xAPI that roomd names, and approve it in Control Hub"


class AdminNeeded(PermissionRefused):
    """The account may use other lines, and not HTTP: there every document needs the role Admin."""

    mend = "give the account the role Admin, which HTTP asks for, or switch WebSocket or SSH on"


class PasswordRefused(DeviceRefused):
    """It did not take the user and password. RoomOS 26.2 and newer locks the account after five of these."""

    mend = "mend the account on the device and reload roomd, or the password file and restart roomd"

    def __init__(self, why: str, *, logins: int) -> None:
        super().__init__(why)
        self.logins = logins  # how many log-ins were spent on finding out
