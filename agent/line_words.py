"""Says in people's words what Python and OpenSSL say of a line that could not be had, and what mends it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NAME_SERVERS: Final = "check how it is written, and this machine's name servers (/etc/resolv.conf)"
AUTHORITY: Final = "name its authority's file with ca_file"
PORT: Final = "check the port, and whether it is one for TLS"
HUNG_UP: Final = f"{PORT} that asks for no certificate of ours (else certificate_file and key_file)"
OURS: Final = "name one that it believes with certificate_file, with its chain, or have it know the authority"


@dataclass(frozen=True, slots=True)
class Saying:
    """One complaint: how the libraries put it, how we do, and what mends it."""

    theirs: str  # what they say, in lower case
    ours: str
    mend: str


SAYINGS: Final[Sequence[Saying]] = (  # the more special before the more general
    Saying("self-signed certificate in certificate chain", "its authority is not known here", AUTHORITY),
    Saying("self signed certificate in certificate chain", "its authority is not known here", AUTHORITY),
    Saying("self-signed certificate", "its certificate is signed by itself", AUTHORITY),
    Saying("self signed certificate", "its certificate is signed by itself", AUTHORITY),
    Saying("unable to get local issuer certificate", "its authority is not known here", AUTHORITY),
    Saying("certificate has expired", "its certificate has expired", "renew its certificate"),
    Saying("is not yet valid", "its certificate is not valid yet", "check this machine's clock"),
    Saying(
        "hostname mismatch",
        "its certificate is for another name",
        "write the name that its certificate has into the configuration",
    ),
    Saying(
        "ip address mismatch",
        "its certificate is not for this address",
        "write the name that its certificate has into the configuration",
    ),
    Saying("ca md too weak", "its certificate is signed too weakly", "renew its certificate"),
    Saying("ee key too small", "the key of its certificate is too short", "renew its certificate"),
    Saying("certificate_verify_failed", "its certificate is not to be believed", AUTHORITY),
    Saying("wrong_version_number", "it does not speak TLS at this port", PORT),
    Saying("record_layer_failure", "it does not speak TLS at this port", PORT),
    Saying("unexpected_eof", "it hung up while TLS was agreed on", HUNG_UP),
    Saying("eof occurred in violation of protocol", "it hung up while TLS was agreed on", HUNG_UP),
    Saying(
        "unsupported_protocol", "its TLS is older than 1.2, and not safe", "have it speak TLS 1.2 or newer"
    ),
    Saying(
        "certificate_required",
        "it asks for a certificate of ours",
        "name one with certificate_file and key_file",
    ),
    Saying(
        "alert certificate expired",
        "it says that our certificate is out of date",
        "renew the one that certificate_file names",
    ),
    Saying("alert unknown ca", "it does not know the authority of our certificate", OURS),
    Saying("alert bad certificate", "it does not believe our certificate", OURS),
    Saying("alert certificate unknown", "it does not believe our certificate", OURS),
    Saying("alert certificate revoked", "it does not believe our certificate", OURS),
    Saying("alert unsupported certificate", "it does not believe our certificate", OURS),
    Saying("name or service not known", "no name server knows its name", NAME_SERVERS),
    Saying("no address associated", "its name has no address", NAME_SERVERS),
    Saying("temporary failure in name resolution", "no name server answers", NAME_SERVERS),
    Saying("errno 111", "nobody listens there", "check host and port, and that it is running"),
    Saying("connection refused", "nobody listens there", "check host and port, and that it is running"),
    Saying("errno 101", "no way leads there", "check this machine's network: address, gateway, cable"),
    Saying("network is unreachable", "no way leads there", "check this machine's network"),
    Saying("errno 113", "nothing has this address", "check the address, and that it is switched on"),
    Saying("no route to host", "nothing has this address", "check the address, and that it is on"),
    Saying("errno 104", "the other side reset it", PORT),
    Saying("connection reset", "the other side reset it", PORT),
    Saying("timed out", "it does not answer", "check host and port, and firewalls between"),
)
# One complaint as they write it: "[SSL: REASON] text (_ssl.c:1006)", "[Errno 111] text", bare words.
_COMPLAINT: Final = re.compile(
    r"(?:\[[^\]\s:]*(?:: [A-Z_]+)?[^\]]*\]|\[Errno -?\d+\])[^;\[]*?(?:\(_ssl\.c:\d+\)|(?=;)|$)", re.MULTILINE
)
_SEVERAL: Final = re.compile(r"Multiple exceptions: .*(?=\[Errno)")  # one for each address: the last will do
# Without brackets, behind words of ours.
_TAIL: Final = re.compile(r"(?:(?<=: )|(?<=; )|^)[^:;]+(?: \(_ssl\.c:\d+\))?(?=;|$)")


def in_words(why: str) -> str:
    """The same, with each complaint of the libraries' in ours."""

    def ours(found: re.Match[str]) -> str:
        saying = _saying(found[0])
        return found[0] if saying is None else saying.ours

    return _TAIL.sub(ours, _COMPLAINT.sub(ours, _SEVERAL.sub("", why)))


def mend_of(why: str) -> str | None:
    """What mends it; None where that is not known."""
    saying = _saying(why)
    return None if saying is None else saying.mend


def of_names(why: str) -> str | None:
    """What mends it where the name of the host is what is wrong; None where it is not."""
    mend = mend_of(why)
    return mend if mend == NAME_SERVERS else None


def _saying(text: str) -> Saying | None:
    lower = text.lower()
    return next((each for each in SAYINGS if each.theirs in lower or each.ours in lower), None)
