"""Becomes healthy once the deployed API answers, so that `docker compose up --wait` ends when the stack is ready."""

import signal
import sys
import time
from pathlib import Path


def main() -> None:
    """Poll `/health` until it answers: 200 with a champion, 503 before the first training."""
    sys.path.append(str(Path(__file__).parent))
    from deploy import use_checkout  # type: ignore[import-not-found]

    use_checkout()
    import os

    from p300_client.api import Api
    from p300_client.target import Target

    api = Api(Target(os.environ["AWS_ENDPOINT_URL"]))
    while api.ask("GET", "/health").status not in {200, 503}:
        time.sleep(1)
    Path("/tmp/ready").touch()  # noqa: S108
    print("the stack answers")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
