"""A server that W&B's client takes for W&B's. It answers what starts a run, and takes figures; no artifacts.

What else it should know is given to it: operation to a function of its variables.
"""

import http.server
import json
import re
import threading
from contextlib import contextmanager

_ANSWERS = {
    "Viewer": {"viewer": {"id": "1", "entity": "me", "username": "me", "email": "", "flags": "{}", "teams": None}},
    "RunResumeStatus": {"model": None},
    "CreateRunFiles": {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": []}},
}


def _bucket(variables):
    named = {"name": variables["name"], "displayName": variables["name"], "sweepName": variables.get("sweep")}
    project = {"id": "1", "name": "wauve_dist", "entity": {"id": "1", "name": "me"}}
    bucket = {"id": "1", **named, "description": "", "config": "{}", "historyLineCount": 0, "project": project}
    return {"upsertBucket": {"bucket": bucket, "inserted": True}}


class Server:
    """A stand-in on this machine.

    Attributes:
        received: bodies of the requests that were answered.
        asked: path and content of those in JSON.
        status: HTTP's, of all answers.
        is_down: drops requests without a word as long as it is set.
        dropped: bodies of those.
        environment: variables that lead W&B's client here.
    """

    def __init__(self, port):
        self.received, self.asked, self.dropped = [], [], []
        self.status, self.is_down, self.closed = 200, False, threading.Event()
        self.environment = {"WANDB_BASE_URL": f"http://127.0.0.1:{port}", "WANDB_API_KEY": "0" * 40}


@contextmanager
def serving(silent=False, answers=None):
    """Serve until the block ends; a silent server takes requests and never answers."""
    functions = {"UpsertBucket": _bucket, **(answers or {})}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if silent:
                server.closed.wait()
                return
            if server.is_down:
                server.dropped.append(body)
                self.close_connection = True
                return
            server.received.append(body)
            content = json.loads(body) if body[:1] == b"{" else {}
            server.asked.append((self.path, content))
            asked = re.match(r"\s*(?:query|mutation) (\w+)", content["query"])[1] if self.path == "/graphql" else None
            if asked in functions:
                reply = {"data": functions[asked](content["variables"])}
            elif asked is None or asked in _ANSWERS:
                reply = {"data": _ANSWERS.get(asked, {})}
            else:
                reply = {"errors": [{"message": f"no {asked} here"}]}
            answer = json.dumps(reply).encode()
            self.send_response(server.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST  # noqa: N815 - the library's names

        def log_message(self, *_):
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(listener.server_address[1])
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.closed.set()
        listener.shutdown()
        listener.server_close()
        thread.join()
