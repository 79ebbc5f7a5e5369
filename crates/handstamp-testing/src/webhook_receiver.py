"""An application that gets webhooks, for tests: webhook_receiver.py FOLDER BEHAVIOUR SECRET [--port PORT] [--any-time] [--tls]

It verifies them by the reference implementation of Standard Webhooks, and keeps each as a line of JSON in FOLDER/received. With
--any-time the signature is verified and the time is not. A certificate for TLS is in FOLDER.
"""

import argparse
import json
import ssl
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("behaviour")
parser.add_argument("secret")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--any-time", action="store_true")
parser.add_argument("--tls", action="store_true")
options = parser.parse_args()

STATUS = {"accept": 204, "fail": 500, "gone": 410, "redirect": 302, "accept_at_length": 200}
lock = threading.Lock()


def is_verified(headers, body):
    webhook = Webhook(options.secret)
    if options.any_time:
        time = datetime.fromtimestamp(int(headers["webhook-timestamp"]), timezone.utc)
        return webhook.sign(headers["webhook-id"], time, body) == headers["webhook-signature"]
    try:
        webhook.verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers["content-length"])).decode()
        received = {
            "path": self.path,
            "client": self.client_address[1],
            "headers": headers,
            "verified": is_verified(headers, body),
            "body": json.loads(body),
        }
        with lock, (options.folder / "received").open("a") as file:
            file.write(json.dumps(received) + "\n")
        if options.behaviour == "hang":
            threading.Event().wait()
        self.send_response(STATUS[options.behaviour])
        if options.behaviour == "redirect":
            self.send_header("location", "/elsewhere")
        length = 1_000_000 if options.behaviour == "accept_at_length" else 0
        self.send_header("content-length", str(length))
        self.end_headers()
        self.wfile.write(b" " * length)

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", options.port), Application)
if options.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.folder / "server.pem", options.folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
