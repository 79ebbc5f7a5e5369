"""Measures a server while `handstamp import` writes to its SQLite database: import_beside_a_server.py BINARY USERS.

It prints the times of sign-ins, session checks and sign-outs before the import and during it, and how many failed."""

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from imported_users import write_users

BINARY, USERS = Path(sys.argv[1]).resolve(), int(sys.argv[2])
PASSWORD = "plum-octave-harbour"
BASELINE_SECONDS = 20


class Site:
    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.environment = {
            "HANDSTAMP_DATA_DIR": str(folder / "data"),
            "HANDSTAMP_LISTEN": f"127.0.0.1:{self.port}",
            "HANDSTAMP_PUBLIC_URL": self.url,
        }
        self.log = (folder / "log").open("w")
        self.server = subprocess.Popen([BINARY, "serve"], env=self.environment, stdout=self.log, stderr=self.log)
        for _ in range(200):
            try:
                if self.request("GET", "/healthz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        sys.exit("the server does not start")

    def run(self, *arguments, given=""):
        return subprocess.run([BINARY, *arguments], env=self.environment, input=given, text=True, check=True, capture_output=True).stdout

    def request(self, method, path, body=None, cookies=None):
        """The status of a response, and the cookies that it sets."""
        headers = {"Host": f"localhost:{self.port}", "Origin": self.url, "Content-Type": "application/json"}
        if cookies:
            headers["Cookie"] = cookies
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body and json.dumps(body), headers)
        response = connection.getresponse()
        response.read()
        set_cookies = [line.split(";")[0] for line in response.headers.get_all("Set-Cookie") or []]
        connection.close()
        return response.status, "; ".join(set_cookies)


class Record:
    """Times in milliseconds, and failures, of each act."""

    def __init__(self):
        self.times, self.failures, self.lock = {}, {}, threading.Lock()

    def act(self, name, request, expected):
        begun = time.monotonic()
        try:
            status, cookies = request()
        except OSError as error:
            status, cookies = type(error).__name__, ""
        with self.lock:
            self.times.setdefault(name, []).append(1000 * (time.monotonic() - begun))
            if status != expected:
                self.failures.setdefault(name, []).append(status)
        return cookies

    def tell(self, when):
        for name, times in sorted(self.times.items()):
            times.sort()
            share = lambda part: times[min(len(times) - 1, int(part * len(times)))]
            failed = self.failures.get(name, [])
            print(f"| {when} | {name} | {len(times)} | {len(failed)} | {share(0.5):.0f} ms | {share(0.99):.0f} ms | {times[-1]:.0f} ms |", flush=True)


def load(site, record, until):
    """Four users sign in and out again and again, and one looks at a page fifty times a second."""
    session = "/account/api/v1/session"

    def signs_in_and_out(email):
        while not until.is_set():
            cookies = record.act("sign-in", lambda: site.request("POST", session, {"email": email, "password": PASSWORD}), 201)
            if cookies:
                record.act("sign-out", lambda: site.request("DELETE", session, cookies=cookies), 204)
            time.sleep(0.5)

    _, cookies = site.request("POST", session, {"email": "user0@example.com", "password": PASSWORD})

    def looks():
        while not until.is_set():
            record.act("session check", lambda: site.request("GET", session, cookies=cookies), 200)
            time.sleep(0.02)

    threads = [threading.Thread(target=signs_in_and_out, args=(f"user{number}@example.com",)) for number in (1, 2, 3, 4)]
    threads.append(threading.Thread(target=looks))
    for thread in threads:
        thread.start()
    return threads


def measured(site, when, during):
    record, until = Record(), threading.Event()
    threads = load(site, record, until)
    during()
    until.set()
    for thread in threads:
        thread.join()
    record.tell(when)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_users(folder / "users.csv", USERS)
        site = Site(folder)
        try:
            for number in range(5):
                site.run("user", "add", f"user{number}@example.com", "--name", "User", given=PASSWORD + "\n")
            print("\n## Beside a server\n\nFour users sign in and out again and again, and one session is checked fifty times a second.\n")
            print("| when | act | count | failed | median | p99 | longest |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
            measured(site, "before", lambda: time.sleep(BASELINE_SECONDS))
            begun = time.monotonic()
            measured(site, "during", lambda: site.run("import", folder / "users.csv", "--map", "id=legacy_id"))
            print(f"\nThe import of {USERS} users took {time.monotonic() - begun:.1f} s.")
        finally:
            site.server.terminate()
            site.server.wait()


main()
