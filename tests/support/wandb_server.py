"""A server that speaks as much of Weights & Biases' API as `wandb sync` asks of it, and keeps what it is sent."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Received:
    """What was sent.

    Attributes
    ----------
    url : str
        The server's.
    runs : dict
        By id, what was said of it.
    artifacts : list of dict
        Name and type of each, in the order of their coming.
    committed : list of str
        Ids of the artifacts that are complete.
    files : dict of str to bytes
        Of runs and of artifacts, by name.
    streamed : dict of str to list of dict
        Lines of history and summary, by file.
    unknown : list of str
        Requests that were not understood.
    """

    url: str = ""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    committed: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    streamed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def answer(self, operation: str, said: dict[str, Any]) -> dict[str, Any]:
        """Answer one GraphQL request."""
        match operation:
            case "ServerFeaturesQuery":
                return {"serverInfo": {"features": []}}
            case "UpsertBucket":
                self.runs.setdefault(said["name"], {}).update(
                    {name: value for name, value in said.items() if value is not None}
                )
                project = {"id": "p", "name": said["project"], "entity": {"id": "e", "name": "me"}}
                bucket = {"id": "b", "name": said["name"], "displayName": said["name"], "project": project}
                empty = dict.fromkeys(("description", "config", "sweepName"))
                return {"upsertBucket": {"bucket": {**bucket, **empty, "historyLineCount": 0}, "inserted": True}}
            case "CreateRunFiles":
                files = [{"name": name, "uploadUrl": self._upload(name)} for name in said["files"]]
                return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
            case "CreateArtifact":
                asked = said["input"]
                self.artifacts.append({"name": asked["artifactCollectionName"], "type": asked["artifactTypeName"]})
                created = {"id": str(len(self.artifacts) - 1), "state": "PENDING"}
                return {"createArtifact": {"artifact": {**created, "artifactSequence": {"latestArtifact": None}}}}
            case "CreateArtifactManifest" | "UpdateArtifactManifest":
                name = f"{said['artifactID']}/manifest" if "artifactID" in said else "manifest"
                file = {"id": "m", "name": name, "displayName": name, "uploadUrl": self._upload(name)}
                manifest = {"id": "m", "file": {**file, "uploadHeaders": []}}
                return {operation[0].lower() + operation[1:]: {"artifactManifest": manifest}}
            case "CreateArtifactFiles":
                nodes = []
                for one in said["input"]["artifactFiles"]:
                    name = f"artifact {one['artifactID']}/{one['name']}"
                    nodes.append({"name": one["name"], "displayName": one["name"], "uploadUrl": self._upload(name)})
                    nodes[-1] |= {"id": name, "uploadHeaders": [], "uploadMultipartUrls": None, "storagePath": name}
                    nodes[-1]["artifact"] = {"id": one["artifactID"]}
                edges = [{"node": node} for node in nodes]
                return {"createArtifactFiles": {"files": {"edges": edges}}}
            case "CommitArtifact":
                self.committed.append(said["artifactID"])
                return {"commitArtifact": {"artifact": {"id": said["artifactID"], "digest": ""}}}
        self.unknown.append(f"{operation} {json.dumps(said)[:500]}")
        return {}

    def _upload(self, name: str) -> str:
        return f"{self.url}/upload/{name}"


@contextmanager
def wandb_server() -> Iterator[Received]:
    """Serve on a free port of this machine."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_PUT(self) -> None:
            received.files[self.path.removeprefix("/upload/").replace("%20", " ")] = self._body()
            self._say({})

        def do_POST(self) -> None:
            body = self._body()
            if self.path == "/graphql":
                asked = json.loads(body)
                operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
                assert operation
                self._say({"data": received.answer(operation[1], asked.get("variables") or {})})
                return
            if self.path.endswith("/file_stream"):
                for name, part in (json.loads(body).get("files") or {}).items():
                    received.streamed.setdefault(name, []).extend(json.loads(line) for line in part["content"])
            self._say({})

        def _body(self) -> bytes:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        def _say(self, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that has gone is none of the test's business."""

    server = Server(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
