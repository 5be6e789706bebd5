"""Judges requests and answers by Google's own descriptions of its APIs, which come with its client."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tests.clouds.google import Heard
from tests.clouds.google_calendar import Mask, read_mask

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = ROOT / ".tools" / "judges-google"
PYTHON: Final = ENVIRONMENT / "bin" / "python"
APIS: Final = (
    ("calendar.v3", "/calendar/v3/"),
    ("admin.directory_v1", "/"),
    ("gmail.v1", "/"),
)
Tree = dict[str, Any]

FORMATS: Final = FormatChecker(())


@FORMATS.checks("date-time", ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("date", ValueError)
def _is_date(value: object) -> bool:
    return not isinstance(value, str) or bool(date.fromisoformat(value))


@FORMATS.checks("int64")
def _is_int64(value: object) -> bool:
    return not isinstance(value, str) or re.fullmatch(r"-?\d{1,19}", value) is not None


class Discovery:
    """What Google says of its APIs."""

    def __init__(self, documents: Iterable[tuple[Tree, str]]) -> None:
        self._methods: list[tuple[Tree, Tree, re.Pattern[str]]] = []
        self._validators: dict[tuple[str, str], Draft202012Validator] = {}
        for document, base in documents:
            self._collect(document, document["resources"], base)

    def _collect(self, document: Tree, resources: Tree, base: str) -> None:
        for resource in resources.values():
            for method in resource.get("methods", {}).values():
                path = re.escape(base + method["path"])
                pattern = re.sub(r"\\\{\\?\+?(\w+)\\\}", r"(?P<\1>[^/]+)", path)
                self._methods.append((document, method, re.compile(pattern)))
            self._collect(document, resource.get("resources", {}), base)

    def complaints(self, heard: Heard) -> list[str]:
        """What is wrong with a request and, where it was taken, its answer; token requests are not judged."""
        if heard.path == "/token":
            return []
        found = [
            (document, method, match)
            for document, method, pattern in self._methods
            if method["httpMethod"] == heard.request.method and (match := pattern.fullmatch(heard.path))
        ]
        if not found:
            return [f"no such method: {heard.request.method} {heard.path}"]
        # the more literal of two paths
        document, method, match = min(found, key=lambda one: len(one[2].groups()))
        said = [f"{method['id']}: {one}" for one in self._parameters(document, method, match, heard)]
        body = json.loads(heard.request.body) if heard.request.body else None
        said += self._body(document, method, "request", body)
        if heard.response.status < 300:  # an error has no schema
            answer = json.loads(heard.response.body) if heard.response.body else None
            said += self._body(document, method, "response", answer)
            if fields := heard.query.get("fields"):
                said += self._mask(document, method["response"]["$ref"], read_mask(fields[0]), method["id"])
        return said

    def _body(self, document: Tree, method: Tree, side: str, body: object) -> list[str]:
        name = method.get(side, {}).get("$ref")
        if name is None or body is None:
            return [] if name is None and body is None else [f"{method['id']}: {side} with or without body"]
        errors = self._validator(document, name).iter_errors(body)
        said = [f"{method['id']}: {side}: {one.json_path}: {one.message}" for one in errors]
        if side == "request" and isinstance(body, dict):
            properties = document["schemas"][name]["properties"]
            said += [
                f"{method['id']}: {key} is missing"
                for key, value in properties.items()
                if method["id"] in value.get("annotations", {}).get("required", ()) and key not in body
            ]
        return said

    def _parameters(self, document: Tree, method: Tree, match: re.Match[str], heard: Heard) -> Iterable[str]:
        known = {**document["parameters"], **method.get("parameters", {})}
        given = {**heard.query, **{name: [unquote(value)] for name, value in match.groupdict().items()}}
        for name, values in given.items():
            if name not in known:
                yield f"unknown parameter {name}"
                continue
            if len(values) > 1 and not known[name].get("repeated"):
                yield f"{name} is given more than once"
            for value in values:
                if why := _wrong(known[name], value):
                    yield f"{name}={value}: {why}"
        for name, wanted in known.items():
            if wanted.get("required") and name not in given:
                yield f"{name} is missing"

    def _mask(self, document: Tree, name: str, mask: Mask, where: str) -> Iterable[str]:
        schema = document["schemas"][name]
        yield from self._mask_of(document, schema, mask, where)

    def _mask_of(self, document: Tree, schema: Tree, mask: Mask, where: str) -> Iterable[str]:
        while "$ref" in schema or schema.get("type") == "array":
            schema = document["schemas"][schema["$ref"]] if "$ref" in schema else schema["items"]
        for key, inner in mask.items():
            if key == "*" or schema.get("type") == "any" or "additionalProperties" in schema:
                continue
            if key not in schema.get("properties", {}):
                yield f"fields: {where} has no {key}"
            else:
                yield from self._mask_of(document, schema["properties"][key], inner, f"{where}.{key}")

    def _validator(self, document: Tree, name: str) -> Draft202012Validator:
        key = (document["id"], name)
        if key not in self._validators:
            definitions = {one: _strict(schema) for one, schema in document["schemas"].items()}
            schema = {"$defs": definitions, "$ref": f"#/$defs/{name}"}
            self._validators[key] = Draft202012Validator(schema, format_checker=FORMATS)
        return self._validators[key]


def _strict(schema: Tree) -> Tree:
    """A schema of a description as JSON Schema that takes nothing that is not described."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    kind = schema.get("type")
    made: Tree = {} if kind == "any" else {"type": kind}
    if kind == "array":
        made["items"] = _strict(schema["items"])
    elif kind == "object":
        made["properties"] = {key: _strict(value) for key, value in schema.get("properties", {}).items()}
        more = schema.get("additionalProperties")
        made["additionalProperties"] = _strict(more) if more else False
    elif "format" in schema:
        made["format"] = schema["format"]
    if "enum" in schema:
        made["enum"] = schema["enum"]
    if kind == "integer":
        made |= {key: int(schema[key]) for key in ("minimum", "maximum") if key in schema}
    return made


def _wrong(wanted: Tree, value: str) -> str | None:
    """Why this is no value of a parameter."""
    if "enum" in wanted and value not in wanted["enum"]:
        return f"not one of {wanted['enum']}"
    if wanted["type"] == "boolean" and value not in ("true", "false"):
        return "neither true nor false"
    if wanted["type"] == "integer":
        if not re.fullmatch(r"-?\d+", value):
            return "not a number"
        low, high = wanted.get("minimum"), wanted.get("maximum")
        if (low and int(value) < int(low)) or (high and int(value) > int(high)):
            return "out of range"
    if wanted.get("format") == "date-time" and not re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value
    ):
        return "not a moment with an offset"
    if "pattern" in wanted and not re.fullmatch(wanted["pattern"], value):
        return "does not match"
    return None


def bring() -> None:
    """The judges' environment, made where it is missing; if that fails the test is skipped, but not in CI."""
    made = subprocess.run(
        [ROOT / "scripts" / "python-judges", "google"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        why = f"NOT JUDGED: scripts/python-judges failed: {made.stderr.strip()[-500:]}"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)


def read_discovery() -> Discovery:
    """The descriptions out of the judges' environment."""
    bring()
    [documents] = ENVIRONMENT.glob("lib/python*/site-packages/googleapiclient/discovery_cache/documents")
    return Discovery(
        (json.loads((documents / f"{name}.json").read_text(encoding="utf-8")), base) for name, base in APIS
    )
