"""Measures the pages of administration: admin_pages.py BINARY USERS INTO

Imports USERS with ready hashes into an empty SQLite database and an empty PostgreSQL database, opens each page many times as an
administrator, and writes INTO/ADMIN.md."""

import http.client
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
from datetime import datetime, timezone
from pathlib import Path

from imported_users import write_users
from postgres_server import start_postgres

BINARY, USERS, INTO = Path(sys.argv[1]).resolve(), int(sys.argv[2]), Path(sys.argv[3])
LIMIT_MS, TIMES = 50, 300
ADMIN, PASSWORD = "admin@example.com", "plum-octave-harbour-seven"


def run(arguments, environment, typed=""):
    done = subprocess.run([BINARY, *arguments], env=environment, input=typed, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"handstamp {' '.join(map(str, arguments))} failed: {done.stderr or done.stdout}")
    return done.stdout


class Browser:
    """Keeps one connection and its cookies, as a browser does."""

    def __init__(self, url):
        self.host = urllib.parse.urlsplit(url).netloc
        self.connection = http.client.HTTPConnection("127.0.0.1", int(self.host.rsplit(":", 1)[1]))
        self.cookies = {}

    def send(self, method, path, fields=None):
        headers = {"Host": self.host, "Accept": "text/html", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = urllib.parse.urlencode(fields) if fields is not None else None
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        page = response.read().decode()
        for line in response.headers.get_all("Set-Cookie") or []:
            name, value = line.split(";")[0].split("=", 1)
            self.cookies[name] = value
        return response.status, page


def pages(browser):
    """The paths of the pages with a title each."""
    users = "/account/admin/users"
    _, page = browser.send("GET", f"{users}?q=a")
    user = page.split(f'href="{users}/')[1].split('"')[0]
    return [
        ("overview, 24 hours", "/account/admin"),
        ("overview, 30 days", "/account/admin?range=30d"),
        ("users, first page", users),
        ("users, a page in the middle", f"{users}?after=address:8"),
        ("by the beginning of an address", f"{users}?q=8a2"),
        ("by the beginning of a name that all have", f"{users}?q=person"),
        ("the same, a page in the middle", f"{users}?q=person&after=name:{user}:person%205"),
        ("by a name that one user has", f"{users}?q=person%20{USERS // 2}"),
        ("by a text that finds nothing", f"{users}?q=%C3%A9%C3%A9"),
        ("by an id", f"{users}?q={user}"),
        ("by a former id", f"{users}?q={USERS // 3}"),
        ("by a group", f"{users}?q=group:admins"),
        ("one user", f"{users}/{user}"),
        ("events", "/account/admin/events"),
        ("events of one kind", "/account/admin/events?event=user_created"),
        ("events of operators of a kind that there is not", "/account/admin/events?event=user_deleted&actor=system"),
        ("cluster", "/account/admin/cluster"),
    ]


def measure(folder, environment, database):
    data = ["--data-dir", folder / database]
    run(["import", folder / "users.csv", "--map", "id=legacy_id", *data], environment)
    run(["user", "add", ADMIN, *data], environment, f"{PASSWORD}\n")
    run(["user", "groups", ADMIN, "--add", "admins", *data], environment)
    server = subprocess.Popen([BINARY, "serve", "--listen", "127.0.0.1:0", *data], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    rows = []
    try:
        url = next(found[0] for line in server.stdout if (found := re.search(r"http://[\w.]+:\d+", line)))
        browser = Browser(url)
        status, _ = browser.send("POST", "/account/login", {"email": ADMIN, "password": PASSWORD, "remember": "on"})
        assert status == 303, status
        for title, path in pages(browser):
            times = []
            for _ in range(TIMES):
                begun = time.perf_counter()
                status, page = browser.send("GET", path)
                times.append((time.perf_counter() - begun) * 1000)
                assert status == 200, (path, status, page)
            times.sort()
            rows.append((database, title, times[TIMES // 2], times[TIMES * 99 // 100], times[-1]))
            print(f"{database}, {title}: {rows[-1][2]:.1f} ms, {rows[-1][3]:.1f} ms", file=sys.stderr)
    finally:
        server.terminate()
        server.wait()
    return rows


def main():
    load = os.getloadavg()[0]
    temporary = tempfile.TemporaryDirectory(dir=INTO)
    folder = Path(temporary.name).resolve()
    folder.chmod(0o755)
    write_users(folder / "users.csv", USERS)
    rows = measure(folder, {}, "SQLite")
    server, url = start_postgres(folder / "postgres")
    try:
        rows += measure(folder, {"HANDSTAMP_DATABASE_URL": url}, "PostgreSQL")
    finally:
        server.terminate()
        server.wait()
    temporary.cleanup()
    met = all(p99 < LIMIT_MS for *_, p99, _ in rows)
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    lines = [
        "# Pages of administration\n\nWritten by `script/bench-admin`.\n",
        f"{cpu}, Linux {os.uname().release}, {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC. {os.cpu_count()} cores, which the database and all other work on the machine share. Load average at the start: {load:.2f}.\n",
        f"{USERS} imported users. Each page was opened {TIMES} times by one browser, one after another.\n",
        "| database | page | median | 99 of 100 | longest |\n| --- | --- | ---: | ---: | ---: |",
        *(f"| {database} | {title} | {median:.1f} ms | {p99:.1f} ms | {longest:.1f} ms |" for database, title, median, p99, longest in rows),
        f"\nThe promise is less than {LIMIT_MS} ms for 99 of 100 among a million users: {'met' if met else 'not met in this run'}.",
    ]
    (INTO / "ADMIN.md").write_text("\n".join(lines) + "\n")
    sys.exit(0 if met else 1)


main()
