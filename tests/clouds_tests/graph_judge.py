"""Microsoft's own clients do what each line of JSON on standard input says, and tell what they saw.

Usage: python graph_judge.py URL authority tenant client-id; it needs msgraph-sdk and msal in its environment,
and nothing of this project.
"""

import asyncio
import dataclasses
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import httpx
import msal
from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.headers_collection import HeadersCollection
from kiota_serialization_json.json_parse_node_factory import JsonParseNodeFactory
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.date_time_time_zone import DateTimeTimeZone
from msgraph.generated.models.event import Event
from msgraph.generated.models.event_collection_response import EventCollectionResponse
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.room import Room
from msgraph.generated.models.room_collection_response import RoomCollectionResponse
from msgraph.generated.models.subscription import Subscription
from msgraph.generated.models.subscription_collection_response import SubscriptionCollectionResponse
from msgraph.generated.users.item.calendar_view.calendar_view_request_builder import (
    CalendarViewRequestBuilder,
)
from msgraph.generated.users.item.events.item.decline.decline_post_request_body import DeclinePostRequestBody
from msgraph_core import GraphClientFactory
from msgraph_core.requests.batch_request_content import BatchRequestContent
from msgraph_core.requests.batch_request_item import BatchRequestItem

Json = Any  # trees of any shape, and models of the clients

SHAPES = {
    "event": Event,
    "events": EventCollectionResponse,
    "room": Room,
    "rooms": RoomCollectionResponse,
    "subscription": Subscription,
    "subscriptions": SubscriptionCollectionResponse,
    "decline": DeclinePostRequestBody,
    "error": ODataError,
}
ANNOTATIONS = ("@odata", "placeId")  # of the answer itself; and what is newer than this client


def strange(model: Json, path: str = "") -> list[str]:
    """What a model was given and does not know, or knows and could not read."""
    found: list[str] = []
    if dataclasses.is_dataclass(model):
        unknown = getattr(model, "additional_data", None) or {}
        found += [f"{path}.{name}" for name in unknown if not name.startswith(ANNOTATIONS)]
        for each in dataclasses.fields(model):
            if each.name not in ("additional_data", "backing_store"):
                found += strange(getattr(model, each.name, None), f"{path}.{each.name}")
    elif isinstance(model, list):
        for number, item in enumerate(model):
            found += strange(item, f"{path}[{number}]")
    return found


def lost(raw: Json, model: Json, path: str = "") -> list[str]:
    """Values that came and are None in the model: of a wrong type, or none of the values there are."""
    found: list[str] = []
    if isinstance(raw, dict):
        fields = model.get_field_deserializers() if hasattr(model, "get_field_deserializers") else {}
        for name, value in raw.items():
            if name in fields and value not in (None, [], {}) and not name.startswith("@"):
                attribute = next(
                    (
                        each
                        for each in dir(model)
                        if each.replace("_", "").lower() == name.replace("-", "").lower()
                    ),
                    None,
                )
                got = getattr(model, attribute) if attribute else None
                if got is None:
                    found.append(f"{path}.{name}")
                else:
                    found += lost(value, got, f"{path}.{name}")
    elif isinstance(raw, list) and isinstance(model, list):
        for number, (one, other) in enumerate(zip(raw, model, strict=False)):
            found += lost(one, other, f"{path}[{number}]")
    return found


class Tokens(AccessTokenProvider):  # type: ignore[misc]
    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    async def get_authorization_token(self, uri: str, additional_authentication_context: Json = None) -> str:
        return self._token()

    def get_allowed_hosts_validator(self) -> Json:
        return AllowedHostsValidator(["127.0.0.1"])


class Judge:
    def __init__(self, base: str, ca: str, tenant: str, client_id: str) -> None:
        self._base, self._ca, self._tenant, self._client_id = base, ca, tenant, client_id
        self._token = ""
        client = httpx.AsyncClient(verify=ca, timeout=30)
        client = GraphClientFactory.create_with_default_middleware(client=client)
        provider = BaseBearerTokenAuthenticationProvider(Tokens(lambda: self._token))
        self._adapter = GraphRequestAdapter(provider, client)
        self._adapter.base_url = f"{base}/v1.0"
        self._graph = GraphServiceClient(request_adapter=self._adapter)

    async def token(self, *, secret: str | None = None, key: str = "", certificate: str = "") -> Json:
        credential = secret or {
            "private_key": Path(key).read_text(),
            "public_certificate": Path(certificate).read_text(),
        }
        application = msal.ConfidentialClientApplication(
            self._client_id,
            authority=f"{self._base}/{self._tenant}",
            client_credential=credential,
            instance_discovery=False,
            verify=self._ca,
        )
        said = await asyncio.to_thread(
            application.acquire_token_for_client, ["https://graph.microsoft.com/.default"]
        )
        self._token = said.get("access_token", self._token)
        return {name: value for name, value in said.items() if name != "access_token"}

    async def rooms(self) -> Json:
        found: list[Json] = []
        odd: list[str] = []
        page = await self._graph.places.graph_room.get()
        while page is not None:
            odd += strange(page)
            found += [[room.email_address, room.display_name, room.capacity] for room in page.value]
            link = page.odata_next_link
            page = await self._graph.places.graph_room.with_url(link).get() if link else None
        return {"found": found, "strange": odd}

    async def view(
        self, *, address: str, starts: str, ends: str, prefer: str, select: list[str], top: int | None = None
    ) -> Json:
        builder = self._graph.users.by_user_id(address).calendar_view
        headers = HeadersCollection()
        headers.add("Prefer", prefer)
        query = CalendarViewRequestBuilder.CalendarViewRequestBuilderGetQueryParameters(
            start_date_time=starts, end_date_time=ends, select=select, top=top
        )
        how = RequestConfiguration(query_parameters=query, headers=headers)
        rest = RequestConfiguration(headers=headers)
        found: list[Json] = []
        odd: list[str] = []
        pages = 0
        page = await builder.get(request_configuration=how)
        while page is not None:
            pages += 1
            odd += strange(page)
            found += [
                [
                    event.subject,
                    event.start.date_time,
                    event.start.time_zone,
                    event.show_as,
                    event.is_all_day,
                ]
                for event in page.value
            ]
            link = page.odata_next_link
            page = await builder.with_url(link).get(request_configuration=rest) if link else None
        return {"found": found, "pages": pages, "strange": odd}

    async def refused(self, *, address: str) -> Json:
        try:
            await self._graph.users.by_user_id(address).calendar_view.get()
        except ODataError as error:
            return [error.response_status_code, error.error.code]
        return None

    async def subscribe(self, *, address: str, url: str, until: str, secret: str) -> Json:
        made = await self._graph.subscriptions.post(
            Subscription(
                change_type="created,updated,deleted",
                notification_url=url,
                lifecycle_notification_url=url,
                resource=f"/users/{address}/events",
                expiration_date_time=datetime.fromisoformat(until),
                client_state=secret,
                latest_supported_tls_version="v1_2",
            )
        )
        return {"id": made.id, "state": made.client_state, "strange": strange(made)}

    async def renew(self, *, name: str, until: str) -> Json:
        changed = Subscription(expiration_date_time=datetime.fromisoformat(until))
        made = await self._graph.subscriptions.by_subscription_id(name).patch(changed)
        await self._graph.subscriptions.by_subscription_id(name).reauthorize.post()
        return {"until": made.expiration_date_time.astimezone(UTC).isoformat(), "strange": strange(made)}

    async def subscriptions(self) -> Json:
        page = await self._graph.subscriptions.get()
        return {"found": [each.id for each in page.value], "strange": strange(page)}

    async def unsubscribe(self, *, name: str) -> Json:
        await self._graph.subscriptions.by_subscription_id(name).delete()

    async def book(self, *, address: str, subject: str, starts: str, ends: str, transaction: str) -> Json:
        events = self._graph.users.by_user_id(address).events
        wanted = Event(
            subject=subject,
            start=DateTimeTimeZone(date_time=starts, time_zone="UTC"),
            end=DateTimeTimeZone(date_time=ends, time_zone="UTC"),
            transaction_id=transaction,
        )
        made = await events.post(wanted)
        again = await events.post(wanted)
        read = await events.by_event_id(made.id).get()
        await events.by_event_id(made.id).patch(Event(subject="Changed"))
        await events.by_event_id(made.id).delete()
        return {"same": made.id == again.id, "organizer": read.is_organizer, "strange": strange(read)}

    async def decline(self, *, address: str, name: str) -> Json:
        body = DeclinePostRequestBody(comment="", send_response=True)
        await self._graph.users.by_user_id(address).events.by_event_id(name).decline.post(body)

    async def batch(self, *, addresses: list[str]) -> Json:
        items = [
            BatchRequestItem(
                request_information=self._graph.users.by_user_id(
                    address
                ).calendar_view.to_get_request_information(
                    RequestConfiguration(
                        query_parameters=CalendarViewRequestBuilder.CalendarViewRequestBuilderGetQueryParameters(
                            start_date_time="2026-01-14T00:00:00Z", end_date_time="2026-01-15T00:00:00Z"
                        )
                    )
                )
            )
            for address in addresses
        ]
        for number, item in enumerate(items):
            item.id = str(number)
            item.url = item.url.partition("/v1.0")[2]  # its own way to make it relative leaves the version in
        answer = await self._graph.batch.post(
            batch_request_content=BatchRequestContent({item.id: item for item in items})
        )
        return {address: answer.get_response_by_id(str(n)).status for n, address in enumerate(addresses)}

    async def read(self, *, shape: str, text: str) -> Json:
        """What is strange about a body of that published shape."""
        raw = json.loads(text)
        node = JsonParseNodeFactory().get_root_parse_node("application/json", text.encode())
        model = node.get_object_value(SHAPES[shape])
        return strange(model) + lost(raw, model)

    async def properties(self, *, shape: str) -> Json:
        return sorted(SHAPES[shape]().get_field_deserializers())


def plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else str(value)


async def main() -> None:
    judge = Judge(*sys.argv[1:])
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        try:
            said = {"said": await getattr(judge, order.pop("do"))(**order)}
        except ODataError as error:
            said = {"refused": [error.response_status_code, error.error.code if error.error else None]}
        print(json.dumps(said, default=plain), flush=True)  # noqa: T201 - its answer


asyncio.run(main())
