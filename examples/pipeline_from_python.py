"""Land recordings, follow them and ask the model about each: `python examples/pipeline_from_python.py <folder>`.

`p300_client` talks to the stack that the environment names, as the `p300` command does; it raises `P300Error` and prints nothing.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from p300.errors import P300Error
from p300.metrics import classification_metrics
from p300_client import landing
from p300_client.api import Api, load_features
from p300_client.outcomes import BAD, status_of
from p300_client.target import Target, choose
from p300_client.watching import Watcher, all_ended


def main(target: Target, folder: Path) -> None:
    """Print what became of each recording, and how well the champion separates its flashes."""
    since = datetime.now(UTC).replace(microsecond=0)
    landed = landing.land(target, landing.find([folder], notify=print))
    for upload in landed.unchanged:
        print(f"{upload.key}: unchanged")

    watcher = Watcher(target, since)
    for changed in watcher.changes(all_ended(landed.uploads)):
        for execution in changed:
            if execution.ended:
                print(f"{execution.source}: {status_of(execution)} ({execution.outcome})")

    api = Api(target)
    for execution in watcher.executions.values():
        if execution.etag and status_of(execution) not in BAD:
            recording = execution.source.rpartition(".")[0]
            features = load_features(target, recording)
            probability, version = api.predict(features.X)
            figures = classification_metrics(features.label, probability)
            print(f"{recording}: AUC {figures['roc_auc']:.3f} by {version}")


if __name__ == "__main__":
    try:
        main(choose(), Path(sys.argv[1]))
    except P300Error as error:
        sys.exit(f"{error.code}: {error.message}")
