"""The XML documents of the HTTP service: what getxml answers, and what putxml does."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

from tests.simulator import commands, printing
from tests.simulator.device import Device
from tests.simulator.firmware import Path
from tests.simulator.language import ANY, COMMAND_ERROR, Refused, covers, pattern_of, plant, steps_of
from tests.simulator.shell import result_name

DECLARATION: Final = '<?xml version="1.0"?>\n'
ROOTS: Final = ("Status", "Configuration")  # what can be read
FAULT: Final = (
    '<Fault><XPathError type="parsing"><ErrorCode type="string">10</ErrorCode>'
    '<Location type="string"></Location><ProcessString type="string"></ProcessString></XPathError></Fault>\n'
)
NO_ACTION: Final = "<ActionError>\n  <Reason>No action detected in document</Reason>\n</ActionError>\n"
SUCCESS: Final = "<Configuration>\n  <Success/>\n</Configuration>\n"

Answer = tuple[HTTPStatus, str]  # a status, and XML or, with an error, plain text


def read(device: Device, location: str) -> str:
    """What is at a location; 200 is also the status of what is not there."""
    if not location.strip("/ "):
        return DECLARATION + FAULT
    steps = steps_of((location,))
    resolved = device.firmware.resolve(steps)
    wild = ANY in steps
    if str(steps[0]).lower() not in [root.lower() for root in ROOTS] or (resolved is None and not wild):
        return _empty(device)
    pattern = pattern_of(steps if resolved is None else resolved)
    tree = plant(leaf for leaf in device.leaves() if covers(pattern, leaf[0]))
    return _document(device, tree) if tree else _empty(device)


def whole(device: Device, root: str) -> str:
    """A tree from its root."""
    return _document(device, plant(leaf for leaf in device.leaves() if leaf[0][0] == root))


def put(device: Device, body: bytes) -> Answer:
    """Does what a document says."""
    if b"<!DOCTYPE" in body:
        return HTTPStatus.BAD_REQUEST, "XML syntax error:\nNo document types\n"
    try:
        root = ET.fromstring(body)
    except ET.ParseError as error:
        return HTTPStatus.BAD_REQUEST, f"XML syntax error:\n{error} (<string>)\n"
    match root.tag:
        case "Command":
            results = [_do(device, name, given) for name, given in _actions(device, root, ())]
            inner = "".join(printing.xml_text(result, device.firmware) for result in results)
            return HTTPStatus.OK, DECLARATION + (f"<Command>\n{inner}</Command>\n" if results else NO_ACTION)
        case "Configuration":
            return HTTPStatus.OK, DECLARATION + _configure(device, root)
        case _:
            return HTTPStatus.OK, DECLARATION + NO_ACTION


def _document(device: Device, tree: Mapping[str, Any]) -> str:
    about = _about(device)
    return DECLARATION + printing.xml_text(tree, device.firmware, dict.fromkeys(tree, about))


def _empty(device: Device) -> str:
    about = "".join(f" {name}={quoteattr(value)}" for name, value in _about(device).items())
    return f"{DECLARATION}<EmptyResult{about}/>\n"


def _about(device: Device) -> dict[str, str]:
    return {
        "product": str(device.status("SystemUnit", "ProductType")),
        "version": str(device.status("SystemUnit", "Software", "Version")),
        "apiVersion": "4",
    }


def _actions(
    device: Device, element: ET.Element, names: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The commands of a document, with or without command="True" at their elements."""
    for child in element:
        path = (*names, child.tag)
        if "/".join(path).lower() in device.firmware.commands:
            yield "/".join(path), _given(child)
        else:
            yield from _actions(device, child, path)


def _given(element: ET.Element) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for child in element:
        name = "body" if child.tag.lower() == "body" else child.tag
        text = child.text or ""
        if name in given:
            before = given[name]
            given[name] = [*(before if isinstance(before, list) else [before]), text]
        else:
            given[name] = text
    return given


def _do(device: Device, name: str, given: dict[str, Any]) -> dict[str, Any]:
    title = result_name(device, name)
    if device.faults.not_ready:
        return {title: {"status": "Error", "Reason": "System not ready to accept requests"}}
    try:
        return {title: {"status": "OK", **commands.run(device, name, given)}}
    except Refused as refusal:
        status = "Error" if refusal.code == COMMAND_ERROR else "ParameterError"
        return {title: {"status": status, "Reason": refusal.message}}


def _configure(device: Device, root: ET.Element) -> str:
    wished: list[tuple[Path, int | str]] = []
    for names, text in _settings(root, ("Configuration",)):
        path = device.firmware.resolve(names)
        space = device.firmware.node(path).space if path else None
        written = "/".join(str(name) for name in names)
        if path is None or space is None:
            return _wrong("No match on address expression", written)
        try:
            wished.append((path, space.cast(text)))
        except ValueError:
            return _wrong("Illegal value", written)
    if not wished:
        return NO_ACTION
    for path, value in wished:
        device.configure(path, value)
    return SUCCESS


def _settings(element: ET.Element, path: Path) -> Iterator[tuple[Path, str]]:
    children = list(element)
    if not children and len(path) > 1:
        yield path, element.text or ""
    for child in children:
        item = child.get("item", "")
        index = (int(item),) if item.isdigit() and int(item) > 1 else ()
        yield from _settings(child, (*path, child.tag, *index))


def _wrong(reason: str, xpath: str) -> str:
    return (
        '<Configuration status="Error">\n'
        f"  <Reason>{reason}</Reason>\n  <XPath>{xpath}</XPath>\n</Configuration>\n"
    )
