"""What Webex signs is believed only if Webex signed it, and for us."""

import base64
import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cloud_link.calendars.errors import ClockSkewed, Misconfigured
from cloud_link.calendars.webex_codes import (
    Activation,
    Deprovisioned,
    Unsigned,
    key_url,
    lacking,
    read_action,
    read_activation,
    read_webex_url,
)
from tests.clouds.webex import WebexCloud


def now() -> datetime:
    """As the cloud's clock is, however long the tests took to come here."""
    return datetime.now(UTC)


def test_an_activation_code_says_where_everything_is_and_what_we_may_do():
    cloud = WebexCloud()
    code = cloud.sign(cloud.activation(region="eu-central-1_k"))
    activation = read_activation(f" {code}\n", cloud.keys, now=now())
    assert (activation.org_id, activation.org_name) == (cloud.org_id, "Contoso")
    assert (activation.app_url, activation.api_url) == (cloud.app_url, cloud.api)
    assert activation.oauth_url == f"{cloud.api}/access_token"
    assert "spark:xapi_commands" in activation.scopes
    assert activation.access.commands == ("Bookings.*",)
    assert activation.refresh_token == cloud.refresh_token
    assert cloud.refresh_token not in repr(activation)
    assert key_url(code) == "https://xapi-k.wbx2.com/jwks"
    assert msgspec.json.decode(msgspec.json.encode(activation), type=Activation) == activation  # can be kept


def test_a_code_without_the_address_of_the_interface_has_it_beside_that_of_the_tokens():
    cloud = WebexCloud()
    code = cloud.sign(cloud.activation(webexapisBaseUrl=""))
    assert read_activation(code, cloud.keys, now=now()).api_url == cloud.api


def test_what_the_manifest_does_not_give_is_named():
    cloud = WebexCloud()
    access = {
        "commands": ["Bookings.*"],
        "statuses": ["RoomAnalytics.*", "Peripherals.ConnectedDevice[*].RoomAnalytics.*", "Standby.State"],
    }
    claims = cloud.activation(scopes="spark:xapi_statuses", xapiAccess=json.dumps(access))
    activation = read_activation(cloud.sign(claims), cloud.keys, now=now())
    assert lacking(
        activation,
        scopes=["spark:xapi_statuses", "spark:xapi_commands"],
        commands=["Bookings.List", "Bookings", "Message.Send", "BookingsMore.List"],
        statuses=["standby.state", "Peripherals.ConnectedDevice[7].RoomAnalytics.Air", "Standby"],
        events=["BootEvent"],
    ) == (
        "scope spark:xapi_commands",
        "xAPI command Message.Send",
        "xAPI command BookingsMore.List",
        "xAPI status Standby",
        "xAPI event BootEvent",
    )


def test_keys_are_only_fetched_from_where_we_know_them():
    cloud = WebexCloud()
    code = cloud.sign(cloud.activation(region="https://evil.example"))
    assert key_url(code) == "https://xapi-a.wbx2.com/jwks"
    with pytest.raises(Unsigned, match="not an activation code"):
        key_url("a-password")


def test_what_another_signed_or_changed_is_not_believed():
    cloud = WebexCloud()
    claims = cloud.activation()
    head, _, signature = cloud.sign(claims).split(".")
    changed = base64.urlsafe_b64encode(json.dumps(claims | {"orgName": "Evil"}).encode()).decode().rstrip("=")
    nobody = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    for code in (
        cloud.sign(claims, key=ec.generate_private_key(ec.SECP256R1())),
        cloud.sign(claims, alg="HS256"),
        f"{head}.{changed}.{signature}",
        f"{nobody}.{changed}.",
        "no.code.atall",
        "",
    ):
        with pytest.raises(Unsigned) as refused:
            read_activation(code, cloud.keys, now=now())
        assert cloud.refresh_token not in str(refused.value)
    with pytest.raises(Unsigned):
        read_activation(cloud.sign(claims), b'{"keys": []}', now=now())


def test_a_lapsed_code_and_one_from_the_future_say_what_to_do():
    cloud = WebexCloud()
    code = cloud.sign(cloud.activation())
    with pytest.raises(Misconfigured, match="lapsed") as lapsed:
        read_activation(code, cloud.keys, now=now() + timedelta(days=2))
    assert "Control Hub" in lapsed.value.mend
    with pytest.raises(ClockSkewed, match="clock is slow"):
        read_activation(code, cloud.keys, now=now() - timedelta(hours=2))


@pytest.mark.parametrize(
    "url",
    [
        "https://webexapis.com.evil.io/v1",
        "https://evil-webex.com/v1",
        "http://webexapis.com/v1",
        "https://user@webexapis.com/v1",
    ],
)
def test_a_code_that_leads_elsewhere_is_refused(url: str):
    cloud = WebexCloud()
    with pytest.raises(Misconfigured):
        read_activation(cloud.sign(cloud.activation(appUrl=url)), cloud.keys, now=now())
    assert read_webex_url("https://webexapis-usgov.webex.com/v1/") == "https://webexapis-usgov.webex.com/v1"


def test_what_is_said_of_another_integration_is_not_for_us():
    cloud = WebexCloud()
    token = cloud.action("deprovision")["jwt"]
    assert read_action(token, cloud.keys, org_id=cloud.org_id, app_id=cloud.app_id) == Deprovisioned()
    for org_id, app_id in ((cloud.org_id, "another"), ("another", cloud.app_id)):
        with pytest.raises(Unsigned):
            read_action(token, cloud.keys, org_id=org_id, app_id=app_id)
