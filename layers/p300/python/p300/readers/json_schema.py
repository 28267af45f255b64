"""The part of JSON Schema that `p300.readers.sidecar` is written in, with messages for a person."""

import re
from collections.abc import Mapping
from typing import Any

_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "object": (dict, "an object"),
    "array": (list, "a list"),
    "string": (str, "a text"),
    "number": ((int, float), "a number"),
    "boolean": (bool, "true or false"),
}
_SHOWN = 80


def mismatch(value: Any, schema: Mapping[str, Any], where: str = "") -> str | None:
    """Say how a JSON value differs from a schema; None where it does not.

    Parameters
    ----------
    value : object
        As `json.loads` returns it.
    schema : mapping
        Of ``type``, ``enum``, ``oneOf``, ``properties``, ``required``, ``additionalProperties``, ``propertyNames``, ``items``, ``pattern``,
        ``minimum`` and ``maximum``, and the smallest and largest lengths of texts, lists and objects.
    where : str
        Path of the value.

    Returns
    -------
    text : str or None
        What was found and what is expected.
    """
    at = where or "it"
    if "oneOf" in schema:
        return _none_of(value, schema["oneOf"], where)
    if "enum" in schema and (isinstance(value, bool) or value not in schema["enum"]):
        return f"{at} is {_short(value)}; expected {' or '.join(map(_short, schema['enum']))}"
    kind, called = _TYPES[schema["type"]] if "type" in schema else (object, "")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, object)):
        return f"{at} is {_short(value)}; expected {called}"
    if isinstance(value, dict):
        return _of_object(value, schema, where)
    if isinstance(value, list):
        return _of_list(value, schema, where)
    return _of_text(value, schema, at) if isinstance(value, str) else _of_number(value, schema, at)


def _none_of(value: Any, schemas: list[Mapping[str, Any]], where: str) -> str | None:
    """Say how a value differs from the alternative that it is most like: of its type, and of what its ``type`` says."""
    found = [mismatch(value, schema, where) for schema in schemas]
    if not all(found):
        return None
    for schema, text in zip(schemas, found, strict=True):
        tag = schema.get("properties", {}).get("type", {}).get("enum")
        if isinstance(value, dict) and tag and value.get("type") in tag:
            return text
    kinds = list(dict.fromkeys(_TYPES[schema["type"]][1] for schema in schemas))
    same = [text for schema, text in zip(schemas, found, strict=True) if isinstance(value, _TYPES[schema["type"]][0])]
    tags = [_short(schema["properties"]["type"]["enum"][0]) for schema in schemas if "properties" in schema]
    if tags and same:
        return f"{where or 'it'}.type is {_short(value.get('type'))}; expected {' or '.join(tags)}"
    return same[0] if same else f"{where or 'it'} is {_short(value)}; expected {' or '.join(kinds)}"


def _of_number(value: Any, schema: Mapping[str, Any], at: str) -> str | None:
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    return None if low <= value <= high else f"{at} is {_short(value)}; expected {low:g} to {high:g}"


def _of_text(value: str, schema: Mapping[str, Any], at: str) -> str | None:
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"{at} is {_short(value)}; expected {schema['description']}"
    return _count(value, schema, "Length", "characters", at)


def _of_list(value: list[Any], schema: Mapping[str, Any], where: str) -> str | None:
    if counted := _count(value, schema, "Items", "entries", where or "it"):
        return counted
    each = (mismatch(one, schema.get("items", {}), f"{where}[{n}]") for n, one in enumerate(value))
    return next(filter(None, each), None)


def _of_object(value: dict[str, Any], schema: Mapping[str, Any], where: str) -> str | None:
    known = schema.get("properties", {})
    if missing := [name for name in schema.get("required", ()) if name not in value]:
        return f"{where or 'it'} lacks {missing[0]!r}"
    if counted := _count(value, schema, "Properties", "entries", where or "it"):
        return counted
    for name, one in value.items():
        path = f"{where}.{name[:_SHOWN]}" if where else name[:_SHOWN]
        others = schema.get("additionalProperties", {})
        if name not in known and others is False:
            return f"it has {_short(name)}{f' in {where}' if where else ''}; expected {', '.join(known)}"
        wrong = mismatch(name, schema.get("propertyNames", {}), f"the name {_short(name)} in {where}")
        if wrong := wrong or mismatch(one, known.get(name, others), path):
            return wrong
    return None


def _count(value: Any, schema: Mapping[str, Any], of: str, called: str, at: str) -> str | None:
    low, high = schema.get(f"min{of}", 0), schema.get(f"max{of}", len(value))
    return None if low <= len(value) <= high else f"{at} has {len(value):,} {called}; expected {low:,} to {high:,}"


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return _TYPES["object" if isinstance(value, dict) else "array"][1]
    text = {True: "true", False: "false", None: "null"}[value] if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
