"""A recording that landed in a BIDS data set, with the metadata of it that have come so far."""

from pathlib import Path

from p300.bids.bundle import Bundle, bundle, name_of
from p300.bids.paths import is_own, metadata_of
from p300.errors import RecordingError

from p300_pipeline.keys import RecordingKey
from p300_pipeline.steps import bids_tree
from p300_pipeline.steps.raw_data import Outcome, RawFacts, put_raw, superseded
from p300_pipeline.steps.zones import Zones, refuse_older_header
from p300_pipeline.storage import Item, find


class Described:
    """What a data set in the landing zone says about a recording there.

    Parameters
    ----------
    zones : Zones
        Where they are.
    item : Item
        The recording.
    home : RecordingKey
        Its key in the raw data.

    Raises
    ------
    RecordingError
        ``superseded``, ``too_many_files``.
    """

    def __init__(self, zones: Zones, item: Item, home: RecordingKey) -> None:
        refuse_older_header(zones, item)
        raw = find(zones.store, zones.raw, str(home))
        if raw and RawFacts.of(raw).landing_modified > item.modified:
            raise superseded(item.key)
        self._zones, self._item, self._home = zones, item, home
        self._named = bids_tree.named(RecordingKey.parse(item.key))
        # What the raw data says is looked at before the landing zone: who changes it in between has seen more than this.
        self._held = find(zones.store, zones.raw, home.bids)
        self.metadata = bids_tree.metadata(zones.store, zones.landing, self._named)
        self._path = Path()
        self._bundle = Bundle(self._named.path)

    @property
    def missing(self) -> list[str]:
        """Metadata that have to come before the recording can move."""
        return bids_tree.missing(self._named, self.metadata.bodies)

    def write(self, beside: Path) -> None:
        """Write them where a reader of the recording's file finds them; raises as `p300.bids.bundle.bundle`."""
        self._bundle = bundle(self._named.path, self.metadata.bodies)
        self._path = beside.with_name(name_of(self._item.key))
        self._path.write_bytes(self._bundle.to_bytes())

    def put(self) -> Outcome:
        """Write them to the raw data.

        Raises
        ------
        PreconditionError
            If another execution has changed what is there.
        """
        held = self._held
        outcome, _ = put_raw(
            self._zones.store,
            self._zones.landing,
            self._zones.raw,
            self._home.bids,
            self._item,
            self._path,
            max(self._item.modified, RawFacts.of(held).landing_modified if held else 0.0),
            {"header": str(self._home)},
            expected=held.etag if held else "",
        )
        return outcome

    def came_meanwhile(self) -> bool:
        """Tell whether shared metadata have come that their own executions may have seen before the recording was in the raw data."""
        try:
            now = bids_tree.metadata(self._zones.store, self._zones.landing, self._named).bodies
            files = bundle(self._named.path, now).files
        except RecordingError:  # who brought them is told
            return False
        shared = [path for path in files if (one := metadata_of(path)) and not is_own(one, self._named)]
        return any(self._bundle.files.get(path) != files[path] for path in shared)
