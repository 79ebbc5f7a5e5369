"""An app that trusts the headers of its proxy, for recipes that bring none: it greets the user, and shows the request."""

import html
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def respond(self):
        length = int(self.headers.get("Content-Length") or 0)
        while length > 0:
            length -= len(self.rfile.read(min(length, 1 << 16)))
        name = urllib.parse.unquote(self.headers.get("Remote-Name") or "")
        fields = "".join(f"{field}: {value}\n" for field, value in self.headers.items())
        page = f"<!doctype html><h1>Welcome, {html.escape(name)}</h1><pre>{html.escape(fields)}</pre>".encode()
        if self.path == "/slow":
            time.sleep(0.2)
        self.send_response(500 if self.path == "/fail" else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = respond

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    host, port = (sys.argv[1:] or ["127.0.0.1:3000"])[0].split(":")
    ThreadingHTTPServer((host, int(port)), Page).serve_forever()
