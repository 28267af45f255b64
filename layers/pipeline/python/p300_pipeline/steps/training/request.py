"""What a training request may say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from p300.channels import plain
from p300.errors import TrainingError
from p300.montages import key_of

from p300_pipeline.keys import subject_name


@dataclass(frozen=True)
class TrainingRequest:
    """What to train, on whom.

    Attributes
    ----------
    model : str
        Estimator kind, as `p300.models.make` takes it.
    subjects : float or tuple of str
        Fraction of the subjects (drawn with `seed`) or their names, as `subject_name` returns them.
    held_out : tuple of str
        Names of subjects never trained on; the model is evaluated on them.
    seed : int
        Seed of every random choice.
    recording : str or None
        ``<subject>/<name>`` of the recording that made training due: its montage is trained on.
    channels : tuple of str
        Channels of the model; empty leaves them to the montages of the recordings.
    """

    model: str
    subjects: float | tuple[str, ...] = 1.0
    held_out: tuple[str, ...] = ()
    seed: int = 0
    recording: str | None = None
    channels: tuple[str, ...] = ()

    @classmethod
    def parse(cls, request: Mapping[str, Any], default_model: str) -> "TrainingRequest":
        """Return the request that a JSON object states.

        Raises
        ------
        TrainingError
            With code ``bad_request`` if it is no object, or a field is unknown or not of its type.
        """
        if not isinstance(request, Mapping):
            raise TrainingError(
                "bad_request", f"A training request is {request!r}; expected an object, {{}} for all defaults."
            )
        unknown = set(request) - {"model", "subjects", "held_out", "seed", "recording", "channels"}
        if unknown:
            raise TrainingError("bad_request", f"A training request has no field {sorted(unknown)[0]!r}.")
        subjects = request.get("subjects", 1.0)
        if isinstance(subjects, list) and subjects and all(isinstance(name, str) for name in subjects):
            subjects = tuple(sorted(set(map(subject_name, subjects))))
        elif isinstance(subjects, bool) or not isinstance(subjects, int | float) or not 0 < subjects <= 1:
            raise TrainingError(
                "bad_request",
                f"subjects is {subjects!r}; expected a fraction above 0 and up to 1, or a list of subject names.",
            )
        held_out, seed = request.get("held_out") or [], request.get("seed", 0)
        if not isinstance(held_out, list) or not all(isinstance(name, str) for name in held_out):
            raise TrainingError("bad_request", f"held_out is {held_out!r}; expected a list of subject names.")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise TrainingError("bad_request", f"seed is {seed!r}; expected a whole number from 0 on.")
        model, recording = request.get("model") or default_model, request.get("recording")
        for name, value in (("model", model), ("recording", recording or "")):
            if not isinstance(value, str):
                raise TrainingError("bad_request", f"{name} is {value!r}; expected text.")
        held_out = tuple(sorted(set(map(subject_name, held_out))))
        return cls(model, subjects, held_out, seed, recording or None, _channels(request.get("channels") or []))


def _channels(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and plain(name) for name in value):
        raise TrainingError("bad_request", f"channels is {value!r}; expected a list of channel names.")
    if len(key_of(value)) < len(value):
        raise TrainingError("bad_request", f"channels is {value!r}: a name occurs twice; expected different names.")
    return tuple(value)
