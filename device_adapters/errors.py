"""What went wrong with a device, sorted by what the caller should do about it."""

from __future__ import annotations


class DeviceError(Exception):
    """The conversation is over, or could not begin; the text tells a technician why, without any secret."""


class DeviceUnreachable(DeviceError):
    """No line, or the line broke: dial again, more and more seldom."""


class DeviceBooting(DeviceError):
    """It is coming up (502 from the proxy in front, or "not ready"): look again soon and steadily."""


class DeviceBusy(DeviceError):
    """It has too many connections (503): leave it alone for a while."""


class DeviceTalksNonsense(DeviceError):
    """Not a room device, or not to be read (no HTTP, no JSON, too long): rest long, then look again."""


class DeviceRefused(DeviceError):
    """It turned us away, and dialling more does not help: a person must act."""


class CertificateRefused(DeviceRefused):
    """We do not believe that it is the device (other fingerprint, other authority, other name)."""


class ServiceOff(DeviceRefused):
    """It has no WebSocket service, or the service is switched off (404)."""


class PermissionRefused(DeviceRefused):
    """The account exists, and may not read what makes a device (its role is too small)."""


class PasswordRefused(DeviceRefused):
    """It did not take the user and password. RoomOS 26.2 and newer locks the account after five of these."""

    def __init__(self, why: str, *, logins: int) -> None:
        super().__init__(why)
        self.logins = logins  # how many log-ins were spent on finding out
