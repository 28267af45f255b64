"""Names with tags, as MNE-Python selects epochs by: a class among them counts only beside tags of stimuli, the same in every name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.inspection import inspect
from p300.readers import open_recording
from p300.readers.markers import tagged

from tests.support.generated import MADE, TARGET, Session, write_fif


def fif(folder: Path, target: str, non_target: str, *others: tuple[int, str]) -> Path:
    names = [target if label == TARGET else non_target for label in MADE.labels]
    numbered = [name.replace("#", str(i % 12 + 1)) for i, name in enumerate(names)]
    return write_fif(folder / "run_raw.fif", None, [*zip(MADE.onsets.tolist(), numbered, strict=True), *others])


def responses(session: Session, name: str) -> list[tuple[int, str]]:
    return [
        (at + 30, name) for at, label in zip(session.onsets.tolist(), session.labels, strict=True) if label == TARGET
    ]


@pytest.mark.parametrize(
    ("target", "non_target"),
    [
        ("stimulus/target", "stimulus/nontarget"),
        ("Target/stim", "Non-Target/stim"),
        ("flash/target/#", "flash/non_target/#"),
        ("target/#", "nontarget/#"),
    ],
)
def test_tags_of_stimuli_name_the_class(tmp_path: Path, target: str, non_target: str) -> None:
    stream = open_recording(fif(tmp_path, target, non_target))
    assert stream.flashes.label.tolist() == [int(label) for label in MADE.labels]
    assert stream.flashes.onset_sample.tolist() == MADE.onsets.tolist()


def test_a_response_to_a_target_is_no_flash(tmp_path: Path) -> None:
    path = fif(tmp_path, "stimulus/target", "stimulus/nontarget", *responses(MADE, "response/target"))
    stream = open_recording(path)
    assert len(stream.flashes) == len(MADE.onsets)
    assert any("events ignored: response/target" in note for note in stream.notes)


@pytest.mark.parametrize(
    ("target", "non_target", "other"),
    [
        ("cue/target", "cue/nontarget", None),
        ("left/target", "right/nontarget", None),
        ("stimulus/target", "flash/nontarget", None),
        ("stimulus/target", "stimulus/nontarget", "flash/target"),
        ("stimulus/target", "stimulus/nontarget", "target"),
    ],
)
def test_other_tags_or_different_ones_have_to_be_declared(
    tmp_path: Path, target: str, non_target: str, other: str | None
) -> None:
    with pytest.raises(RecordingError) as refused:
        open_recording(fif(tmp_path, target, non_target, *(responses(MADE, other) if other else [])))
    assert refused.value.code in ("unknown_codes", "no_non_targets")


def test_what_a_tag_says_is_proposed_and_never_the_other_way_round(tmp_path: Path) -> None:
    assert inspect(fif(tmp_path, "cue/target", "cue/nontarget")).mapping == {
        "event_id": {"cue/nontarget": 1, "cue/target": 2}
    }
    (swapped := tmp_path / "b").mkdir()
    assert inspect(fif(swapped, "cue/nontarget", "cue/target")).mapping == {}


def test_responses_are_not_proposed_as_flashes(tmp_path: Path) -> None:
    found = inspect(fif(tmp_path, "cue/target", "cue/nontarget", *responses(MADE, "response/target")))
    assert found.refusal is not None
    assert found.mapping == {}
    assert '"response/target": 2' not in found.refusal.message


@given(st.lists(st.sampled_from(["target", "nontarget", "stimulus", "7", "left", ""]), min_size=1, max_size=4))
def test_a_name_says_a_class_if_one_of_its_tags_does_and_none_says_the_other(tags: list[str]) -> None:
    classes = {"target", "nontarget"} & set(tags)
    found = tagged("/".join(tags))
    assert (found is not None) == (len(classes) == 1)
    if found:
        assert found[0] == (2 if "target" in classes else 1)
        assert found[1] == {"#" if tag == "7" else tag for tag in tags if tag not in classes}
