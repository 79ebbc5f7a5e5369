"""Measures `handstamp backup` beside sign-ins, and `handstamp restore`: backup_beside_sign_ins.py BINARY USERS INTO

Imports USERS into SQLite, has 100 sign-ins a second begin, backs up, checks and restores, and writes INTO/BACKUP.md. Passwords are hashed
with the least work, so that the database is measured."""

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

from imported_users import write_users

BINARY, USERS, INTO = Path(sys.argv[1]).resolve(), int(sys.argv[2]), Path(sys.argv[3])
PASSWORD = "plum-octave-harbour"
SIGN_INS_A_SECOND, THREADS = 100, 10
LIMIT_SECONDS = 10


def command(environment, *arguments, given=""):
    begun = time.monotonic()
    subprocess.run([BINARY, *arguments], env=environment, input=given, text=True, check=True, capture_output=True)
    return time.monotonic() - begun


def sign_in(port, number):
    """Whether a sign-in succeeds, and its milliseconds."""
    begun = time.monotonic()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}", "Content-Type": "application/json"}
        body = json.dumps({"email": f"user{number % 50}@example.com", "password": PASSWORD})
        connection.request("POST", "/account/api/v1/session", body, headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        succeeded = response.status == 201
    except OSError:
        succeeded = False
    return succeeded, 1000 * (time.monotonic() - begun)


class Load:
    """Sign-ins that begin at fixed times, whether those before have ended or not."""

    def __init__(self, port):
        self.port, self.results, self.lock, self.stopped = port, [], threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(THREADS)]
        for thread in self.threads:
            thread.start()

    def run(self, first):
        begun, number = time.monotonic() + first / SIGN_INS_A_SECOND, first
        while not self.stopped.is_set():
            time.sleep(max(0, begun - time.monotonic()))
            result = sign_in(self.port, number)
            with self.lock:
                self.results.append(result)
            begun, number = begun + THREADS / SIGN_INS_A_SECOND, number + THREADS

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        return self.results


def row(when, results, seconds):
    times = sorted(milliseconds for _, milliseconds in results)
    failed = sum(not succeeded for succeeded, _ in results)
    share = lambda part: times[min(len(times) - 1, int(part * len(times)))]
    return f"| {when} | {len(times) / seconds:.0f} | {failed} | {share(0.5):.0f} ms | {share(0.99):.0f} ms | {times[-1]:.0f} ms |"


def measured(port, act):
    load, begun = Load(port), time.monotonic()
    seconds = act()
    results = load.stop()
    return results, time.monotonic() - begun, seconds


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        environment = {
            "HANDSTAMP_DATA_DIR": str(folder / "data"),
            "HANDSTAMP_LISTEN": f"127.0.0.1:{port}",
            "HANDSTAMP_PUBLIC_URL": f"http://localhost:{port}",
            "HANDSTAMP_HASHING__MEMORY_KIB": "8",
            "HANDSTAMP_HASHING__ITERATIONS": "1",
            "HANDSTAMP_LIMITS__SIGN_IN_PER_NETWORK": "0",
            "HANDSTAMP_LIMITS__CONNECTIONS_PER_NETWORK": "0",
            "PATH": "/usr/bin:/bin",
        }
        write_users(folder / "users.csv", USERS)
        command(environment, "import", folder / "users.csv", "--map", "id=legacy_id")
        for number in range(50):
            command(environment, "user", "add", f"user{number}@example.com", "--name", "User", given=PASSWORD + "\n")
        with (folder / "log").open("w") as log:
            server = subprocess.Popen([BINARY, "serve"], env=environment, stdout=log, stderr=log)
        try:
            for _ in range(200):
                if sign_in(port, 0)[0]:
                    break
                time.sleep(0.05)
            backup = folder / "backup"
            before, before_seconds, _ = measured(port, lambda: time.sleep(10) or 10)
            during, during_seconds, backup_seconds = measured(port, lambda: command(environment, "backup", backup))
        finally:
            server.terminate()
            server.wait()
        check_seconds = command(environment, "backup", "--check", backup)
        restore_seconds = command(environment, "restore", backup)
        size = backup.stat().st_size / 1e6
    failed = sum(not succeeded for succeeded, _ in during)
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    text = f"""# Backup

Made by `script/bench-backup` on {date}: {USERS:,} users on SQLite, a backup of {size:.0f} MB.

| act | seconds |
| --- | ---: |
| backup, while sign-ins go on | {backup_seconds:.1f} |
| check | {check_seconds:.1f} |
| restore | {restore_seconds:.1f} |

| sign-ins | a second | failed | median | p99 | longest |
| --- | ---: | ---: | ---: | ---: | ---: |
{row("before the backup", before, before_seconds)}
{row("during the backup", during, during_seconds)}
"""
    (INTO / "BACKUP.md").write_text(text)
    print(text)
    if failed or backup_seconds >= LIMIT_SECONDS:
        sys.exit(f"{failed} sign-ins failed, and the backup took {backup_seconds:.1f} s of {LIMIT_SECONDS}")


main()
