"""Measures `handstamp import`: import_users.py BINARY USERS INTO

Makes a file of USERS with ready hashes, imports it into an empty SQLite database and an empty PostgreSQL database, repeats both
imports, exports the users, and writes INTO/IMPORT.md."""

import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from imported_users import write_users
from postgres_server import start_postgres

BINARY, USERS, INTO = Path(sys.argv[1]).resolve(), int(sys.argv[2]), Path(sys.argv[3])
LIMITS = {"SQLite": 60, "PostgreSQL": 120}


def measured(arguments, environment):
    """Wall-clock seconds, processor seconds and MiB of a command."""
    begun = time.monotonic()
    process = subprocess.Popen([BINARY, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"handstamp {' '.join(map(str, arguments))} failed: {output}")
    return time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(folder, environment, database):
    users = folder / "users.csv"
    arguments = ["--data-dir", folder / database]
    rows = []
    for act, command in [
        ("import", ["import", users, "--map", "id=legacy_id"]),
        ("the same again", ["import", users, "--map", "id=legacy_id"]),
        ("dry run", ["import", users, "--map", "id=legacy_id", "--dry-run"]),
        ("export", ["export", "--users", folder / f"{database}.jsonl"]),
    ]:
        wall, processor, memory = measured([*command, *arguments], environment)
        rows.append((database, act, wall, processor, memory))
        print(f"{database}, {act}: {wall:.1f} s, {processor:.1f} s of the processor, {memory:.0f} MiB", file=sys.stderr)
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
    met = all(wall <= LIMITS[database] and memory < 100 for database, act, wall, _, memory in rows if act == "import")
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    lines = [
        "# Importing users\n\nWritten by `script/bench-import`.\n",
        f"{cpu}, Linux {os.uname().release}, {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC. {os.cpu_count()} cores, which the database and all other work on the machine share. Load average at the start: {load:.2f}.\n",
        f"A CSV file of {USERS} users with hashes of Argon2id, whose addresses are in no order. Processor time and memory are those of the command, without the PostgreSQL server.\n",
        "| database | act | time | of the processor | peak memory |\n| --- | --- | ---: | ---: | ---: |",
        *(f"| {database} | {act} | {wall:.1f} s | {processor:.1f} s | {memory:.0f} MiB |" for database, act, wall, processor, memory in rows),
        f"\nThe promise is a million users in {LIMITS['SQLite']} s on SQLite and {LIMITS['PostgreSQL']} s on PostgreSQL, in less than 100 MiB: {'met' if met else 'not met in this run'}.",
    ]
    (INTO / "IMPORT.md").write_text("\n".join(lines) + "\n")
    sys.exit(0 if met else 1)


main()
