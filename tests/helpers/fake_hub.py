"""A Hugging Face Hub on loopback: enough of its HTTP contract for the real client to upload to and download from.

Everything is kept in memory. Tests read `requests`, change `blobs`, and set `faults`: method and path that match get a
connection that breaks off in the middle of the answer, or before one.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

DATE = "2026-01-01T00:00:00.000Z"


@dataclass
class Entry:
    """One file of a commit."""

    oid: str  # git's
    sha256: str  # key of the blob
    lfs: bool

    def facts(self, path: str, size: int) -> dict:
        values = {"type": "file", "path": path, "oid": self.oid, "size": size}
        return {**values, "lfs": {"oid": self.sha256, "size": size, "pointerSize": 130}} if self.lfs else values


@dataclass
class Repository:
    """Commits, oldest first."""

    private: bool
    commits: list[tuple[str, dict[str, Entry]]] = field(default_factory=list)
    pulls: dict[str, tuple[str, dict[str, Entry]]] = field(default_factory=dict)  # by refs/pr/N: commits beside main

    def add(self, files: dict[str, Entry]) -> str:
        name = f"{len(self.commits)}{sorted((path, entry.sha256) for path, entry in files.items())}"
        self.commits.append((hashlib.sha1(name.encode()).hexdigest(), files))
        return self.commits[-1][0]


class FakeHub:
    """The server; a context manager."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []  # "GET /path", with " bytes=…" where a range was asked for
        self.connections: set[socket.socket] = set()
        self.faults: list[str] = []  # patterns of such lines; each breaks one connection
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._handler, self._port = Handler, 0
        self.start()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen; again at the same port after a stop."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Nobody answers any more, not on open connections either."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> FakeHub:
        return self

    def __exit__(self, *_details) -> None:
        self.stop()

    def put(self, data: bytes) -> str:
        """Keep a blob; returns its name."""
        name = hashlib.sha256(data).hexdigest()
        self.blobs[name] = data
        return name

    def entry(self, data: bytes, lfs: bool = False) -> Entry:
        """Keep a file."""
        return Entry(hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(), self.put(data), lfs)

    def publish(self, name: str, files: dict[str, bytes], private: bool = False) -> str:
        """A repository that was made by hand; returns its commit."""
        repository = self.repositories.setdefault(name, Repository(private))
        return repository.add({path: self.entry(data) for path, data in files.items()})

    def propose(self, name: str, number: int, files: dict[str, bytes]) -> str:
        """A pull request; returns its commit."""
        aside = Repository(False)
        commit = aside.add({path: self.entry(data) for path, data in files.items()})
        self.repositories[name].pulls[f"refs/pr/{number}"] = aside.commits[-1]
        return commit

    def files(self, name: str) -> dict[str, bytes]:
        """What a repository has now."""
        return {path: self.blobs[entry.sha256] for path, entry in self.repositories[name].commits[-1][1].items()}

    def count(self, pattern: str) -> int:
        """Requests that match."""
        return sum(bool(re.match(pattern, line)) for line in self.requests)


class Refusal(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_arguments) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.hub.connections.add(self.request)

    def finish(self) -> None:
        self.hub.connections.discard(self.request)
        super().finish()

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        asked = f" {self.headers['Range']}" if self.headers["Range"] else ""
        line = f"{self.command} {path}{asked}"
        body = self._body()
        self.hub.requests.append(line)
        self.breaks = next((fault for fault in self.hub.faults if re.match(fault, line)), None)
        if self.breaks is not None:
            self.hub.faults.remove(self.breaks)
            if self.command != "GET":
                self.close_connection = True
                return
        try:
            self._route(urlsplit(self.path).path, body)
        except Refusal as error:
            headers = {"X-Error-Message": error.message or "error"}
            if error.code:
                headers["X-Error-Code"] = error.code
            self._send({"error": error.message}, error.status, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(data)

    def _send(self, values=None, status: int = 200, headers: dict[str, str] | None = None, data: bytes | None = None):
        data = json.dumps(values).encode() if data is None else data
        self.send_response(status)
        kind = "application/json" if values is not None else "application/octet-stream"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.breaks is not None:
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    def _user(self, needed: bool = True) -> str:
        """Tokens are hf_<user>."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if needed and not token.startswith("hf_"):
            raise Refusal(401, "", "Invalid username or password.")
        return token.removeprefix("hf_")

    def _repository(self, name: str) -> Repository:
        found = self.hub.repositories.get(name)
        if found is None or (found.private and self._user(False) != name.split("/")[0]):
            raise Refusal(404 if self._user(False) else 401, "RepoNotFound", "Repository not found")
        return found

    @staticmethod
    def _commit(repository: Repository, revision: str) -> tuple[str, dict[str, Entry]]:
        if revision in ("main", ""):
            return repository.commits[-1]
        revision = unquote(revision)
        if revision in repository.pulls:
            return repository.pulls[revision]
        for commit in (*repository.commits, *repository.pulls.values()):
            if commit[0] == revision:
                return commit
        raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def _route(self, path: str, body: bytes) -> None:
        values = json.loads(body) if body[:1] == b"{" and b"\n" not in body.strip() else {}
        if path == "/api/validate-yaml":
            return self._send({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(values)
        if found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._batch(found[1], values)
        if found := re.fullmatch(r"/_lfs/([0-9a-f]{64})(/verify)?", path):
            return self._blob(found[1], found[2] is not None, body)
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(found[1], found[2], unquote(found[3]))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit)/([^/]+))?", path):
            return self._model(found[1], found[2] or "revision", found[3] or "main", values, body)
        raise Refusal(404, "", f"no route {self.command} {path}")

    def _create(self, values: dict) -> None:
        name = f"{values.get('organization') or self._user()}/{values['name']}"
        if name.split("/")[0] != self._user():
            raise Refusal(403, "", "You don't have the rights to create a model under this namespace")
        url = f"{self.hub.url}/{name}"
        if name in self.hub.repositories:
            return self._send({"error": "You already created this model repo", "url": url}, 409)
        private = bool(values.get("private")) or values.get("visibility") == "private"
        self.hub.publish(name, {".gitattributes": b"*.safetensors filter=lfs\n"}, private)
        return self._send({"url": url, "name": name, "id": "0" * 24})

    def _batch(self, name: str, values: dict) -> None:
        self._user()
        self._repository(name)
        objects = []
        for item in values["objects"]:
            links = {"upload": {"href": f"{self.hub.url}/_lfs/{item['oid']}"}}
            links["verify"] = {"href": f"{self.hub.url}/_lfs/{item['oid']}/verify"}
            objects.append(item if item["oid"] in self.hub.blobs else {**item, "actions": links})
        self._send({"transfer": "basic", "objects": objects})

    def _blob(self, name: str, verify: bool, body: bytes) -> None:
        if not verify and hashlib.sha256(body).hexdigest() != name:
            raise Refusal(400, "", "sha256 mismatch")
        if not verify:
            self.hub.put(body)
        self._send({}, 200 if name in self.hub.blobs else 404)

    def _resolve(self, name: str, revision: str, file: str) -> None:
        commit, files = self._commit(self._repository(name), revision)
        if file not in files:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        entry, data = files[file], self.hub.blobs[files[file].sha256]
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "ETag": f'"{entry.oid}"'}
        if entry.lfs:
            headers |= {"ETag": f'"{entry.sha256}"', "X-Linked-Etag": f'"{entry.sha256}"'}
            headers["X-Linked-Size"] = str(len(data))
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            return self._send(None, 200, headers, data)
        first, last = int(found[1]), int(found[2] or len(data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return self._send(None, 206, headers, data[first : last + 1])

    def _model(self, name: str, what: str, revision: str, values: dict, body: bytes) -> None:
        repository = self._repository(name)
        commit, files = self._commit(repository, revision)
        if what == "revision":
            siblings = [{"rfilename": path} for path in sorted(files)]
            facts = {"_id": "0" * 24, "id": name, "modelId": name, "author": name.split("/")[0], "sha": commit}
            facts |= {"lastModified": DATE, "createdAt": DATE, "private": repository.private, "gated": False}
            facts |= {"disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": siblings}
            return self._send(facts)
        if what == "tree":
            return self._send([e.facts(p, len(self.hub.blobs[e.sha256])) for p, e in sorted(files.items())])
        self._user()
        if what == "preupload":
            return self._send({"files": [self._preupload(item, files) for item in values["files"]]})
        commit = repository.add(self._changed(dict(files), body))
        url = f"{self.hub.url}/{name}/commit/{commit}"
        return self._send({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    @staticmethod
    def _preupload(item: dict, files: dict[str, Entry]) -> dict:
        lfs = item["path"].endswith((".safetensors", ".npz")) or b"\0" in base64.b64decode(item.get("sample", ""))
        there = files.get(item["path"])
        oid = None if there is None else there.sha256 if there.lfs else there.oid
        return {"path": item["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, "oid": oid}

    def _changed(self, files: dict[str, Entry], body: bytes) -> dict[str, Entry]:
        for line in filter(None, body.splitlines()):
            action = json.loads(line)
            value = action["value"]
            if action["key"] == "file":
                files[value["path"]] = self.hub.entry(base64.b64decode(value["content"]))
            elif action["key"] == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    raise Refusal(400, "", "lfs object not uploaded")
                files[value["path"]] = Entry(hashlib.sha1(value["oid"].encode()).hexdigest(), value["oid"], True)
            elif action["key"] == "deletedFile":
                del files[value["path"]]
        return files
