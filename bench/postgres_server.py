"""Starts a PostgreSQL server for a measurement."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


def start_postgres(folder):
    """The process and the URL of a new server, whose files are in this folder."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    folder.mkdir()
    if as_nobody:
        shutil.chown(folder, "nobody", "nogroup")
    subprocess.run([*as_nobody, binaries / "initdb", "-A", "trust", "-U", "postgres", "-D", folder / "data"], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    port = str(20000 + os.getpid() % 10000)
    server = subprocess.Popen([*as_nobody, binaries / "postgres", "-D", folder / "data", "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        if subprocess.run([binaries / "pg_isready", "-h", "127.0.0.1", "-p", port], stdout=subprocess.DEVNULL).returncode == 0:
            return server, f"postgres://postgres@127.0.0.1:{port}/postgres"
        time.sleep(0.1)
    server.terminate()
    sys.exit("PostgreSQL does not start")
