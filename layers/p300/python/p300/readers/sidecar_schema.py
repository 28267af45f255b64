"""The fields of a recording's sidecar, as JSON Schema: the one definition, which docs/sidecar.schema.json is written from."""

from typing import Any

from p300.limits import HIGHEST_RATE_HZ, LONGEST_DELAY_MS, LONGEST_NAME, LONGEST_TEXT, MOST_CHANNELS, MOST_SYMBOLS

from .channels import EEG, MISC

_CHANNEL: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
_EVENT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 256}
_SYMBOL: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 64}
_SYMBOLS: dict[str, Any] = {"type": "array", "items": _SYMBOL, "minItems": 1, "maxItems": MOST_SYMBOLS}
_ROW: dict[str, Any] = {"oneOf": [{"type": "string", "minLength": 1, "maxLength": MOST_SYMBOLS}, _SYMBOLS]}
_BY_CHANNEL: dict[str, Any] = {
    "type": "object",
    "propertyNames": _CHANNEL,
    "minProperties": 1,
    "maxProperties": MOST_CHANNELS,
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Sidecar of a P300 recording",
    "description": "<recording>.p300.json beside <recording>.<extension>. A field takes the place of what the file says, and of the same "
    "field in the stack's parameter Preprocessing. Every field is optional.",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "event_id": {
            "description": "Which events are flashes: name or code, 1 for NonTarget and 2 for Target.",
            "examples": [{"S  1": 1, "S  2": 2}],
            "type": "object",
            "propertyNames": _EVENT,
            "additionalProperties": {"enum": [1, 2]},
            "minProperties": 1,
            "maxProperties": 1024,
        },
        "unit": {
            "description": "Unit of the numbers in the file.",
            "examples": ["uV"],
            "enum": ["V", "mV", "uV", "µV", "μV", "nV"],
        },
        "channel_names": {
            "description": "New names of channels, by the names in the file. A channel with a new name is EEG.",
            "examples": [{"EXG1": "Cz"}],
            **_BY_CHANNEL,
            "additionalProperties": _CHANNEL,
        },
        "channel_kinds": {
            "description": "eeg or misc by channel. Channels that are not EEG are left out.",
            "examples": [{"EXG1": "eeg", "Fpz": "misc"}],
            **_BY_CHANNEL,
            "additionalProperties": {"enum": [EEG, MISC]},
        },
        "bad_channels": {
            "description": "Channels that are replaced.",
            "examples": [["P3"]],
            "type": "array",
            "items": _CHANNEL,
            "maxItems": MOST_CHANNELS,
        },
        "streams": {
            "description": "Names, or numbers such as #2, of the streams to read of an XDF file that has several of EEG or of markers.",
            "examples": [["BioSemi", "Markers"]],
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 256},
            "minItems": 1,
            "maxItems": 64,
        },
        "sfreq": {
            "description": "Sampling rate in Hz of a .csv or .txt file that does not say it, or whose times are not in seconds.",
            "examples": [256],
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": HIGHEST_RATE_HZ,
        },
        "event_column": {
            "description": "Column of a .csv or .txt file that holds the events.",
            "examples": ["Trigger"],
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
        },
        "reference": {
            "description": "What the EEG is referenced to. Kept as a fact.",
            "examples": ["average", "linked mastoids"],
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
        },
        "notch_freq": {
            "description": "Line frequency in Hz, notched where it lies inside the pass band.",
            "examples": [60],
            "type": "number",
            "minimum": 20,
            "maximum": 1000,
        },
        "event_delay_ms": {
            "description": "How much later than its event a flash was on the screen, in milliseconds, as a photodiode measures it.",
            "examples": [35.5],
            "type": "number",
            "minimum": -LONGEST_DELAY_MS,
            "maximum": LONGEST_DELAY_MS,
        },
        "layout": {
            "description": "The speller layout, as POST /decode takes it.",
            "examples": [{"type": "grid", "rows": ["ABC", "DEF"]}],
            "oneOf": [
                {
                    "type": "object",
                    "required": ["type", "rows"],
                    "additionalProperties": False,
                    "properties": {
                        "type": {"enum": ["grid"]},
                        "rows": {"type": "array", "items": _ROW, "minItems": 1, "maxItems": MOST_SYMBOLS},
                        "rows_first": {"type": "boolean"},
                    },
                },
                {
                    "type": "object",
                    "required": ["type"],
                    "additionalProperties": False,
                    "properties": {"type": {"enum": ["brain_invaders"]}},
                },
                {
                    "type": "object",
                    "required": ["type", "symbols"],
                    "additionalProperties": False,
                    "properties": {
                        "type": {"enum": ["sets"]},
                        "symbols": _SYMBOLS,
                        "groups": {
                            "type": "object",
                            "propertyNames": {
                                "type": "string",
                                "pattern": "^(0|[1-9][0-9]{0,8})$",
                                "description": "the number of a group",
                            },
                            "additionalProperties": _SYMBOLS,
                            "maxProperties": MOST_SYMBOLS,
                        },
                    },
                },
            ],
        },
        "labelled": {
            "description": "false: nobody says which flashes were targets, only which group flashed, as in a spelling session. Needs "
            "layout. No population model is trained on such a recording; the subject's personal model learns from it.",
            "examples": [False],
            "type": "boolean",
        },
        "text": {
            "description": "The text that was spelled: a text of symbols of one character, or a list of symbols.",
            "examples": ["BRAIN", ["A1", "B3"]],
            "oneOf": [
                {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT},
                {"type": "array", "items": _SYMBOL, "minItems": 1, "maxItems": LONGEST_TEXT},
            ],
        },
    },
}
