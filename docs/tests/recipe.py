"""A recipe of the guide: its page, and the files and processes that it leads to."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import visits

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ROOT / "docs/src/guide/recipes"
# Where the pages suppose a copy of the repository.
SOURCE = Path("/usr/src/handstamp")
# A virtual environment with the programs that come from PyPI.
TOOLS = ROOT / "target/recipes/tools"
# The folder of those that come from npm.
NODE_TOOLS = ROOT / "target/recipes/node"
# Folders that a recipe may write to, without a trace on the machine.
PRIVATE = ["/etc", "/run", "/srv", "/usr", "/var"]
# The address of the sites on the internet: that of clients is not that of a proxy then.
PUBLIC_ADDRESS = "192.0.2.10"
CLONE_NEWNET = 0x40000000
NAMED = re.compile(r"^(At the end of )?`([^`]+)`:$")


def items(page):
    """The named files and the commands of a page, in order: (kind, name, text)."""
    lines = page.read_text().splitlines()
    found, last, number = [], "", 0
    while number < len(lines):
        line = lines[number]
        if line.startswith("```") and len(line) > 3:
            end = lines.index("```", number)
            text = "\n".join(lines[number + 1 : end]) + "\n"
            name = NAMED.match(last)
            if name:
                found.append(("append" if name[1] else "write", name[2], text))
            elif line == "```sh":
                found.append(("run", None, text))
            number = end
        elif line.strip():
            last = line
        number += 1
    return found


def commands(block):
    """The commands of a block; a backslash joins two lines."""
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


class Recipe:
    """The files and processes of one recipe. It runs as the first process of its namespaces, so that all end with it."""

    def __init__(self, name, folder):
        self.name = name
        self.page = PAGES / f"{name}.md"
        self.source = SOURCE
        self.folder = folder / "site"
        self.folder.mkdir()
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "log"
        self.versions, self.remarks = [], []
        self.background = []
        self.has_network = True
        self._mount(folder)
        shutil.copy(os.environ["HANDSTAMP_BINARY"], self.bin / "handstamp")
        for variable in [name for name in os.environ if name.startswith("HANDSTAMP_")]:
            # It is a setting of this machine, or one that no server knows.
            del os.environ[variable]
        # The recipe has all rights in its namespaces already.
        self.program("sudo", '[ "$1" != -u ] || exec runuser -u "$2" -- env PATH="$PATH" "${@:3}"\nexec "$@"\n')
        os.environ.update(
            PATH=f"{self.bin}:{TOOLS}/bin:{NODE_TOOLS}/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            HOME=str(folder),
            PIP_CACHE_DIR=str(ROOT / "target/recipes/pip"),
            npm_config_cache=str(ROOT / "target/recipes/npm"),
            PIP_DISABLE_PIP_VERSION_CHECK="1",
            PIP_QUIET="1",
            npm_config_loglevel="error",
            # A hash as fast as possible, since a visitor makes some.
            HANDSTAMP_HASHING__MEMORY_KIB="8",
            HANDSTAMP_HASHING__ITERATIONS="1",
            HANDSTAMP_MAIL__NEW_DEVICE="false",
        )

    def program(self, name, text):
        (self.bin / name).write_text(f"#!/bin/bash\n{text}")
        (self.bin / name).chmod(0o755)

    def _mount(self, folder):
        """Puts a layer over the folders of the system, and the copy of the repository where the pages suppose it."""
        layers = folder / "layers"
        layers.mkdir()
        mount("-t", "tmpfs", "-o", "mode=755", "none", layers)
        for path in PRIVATE:
            upper, work = layers / path[1:] / "upper", layers / path[1:] / "work"
            upper.mkdir(parents=True)
            work.mkdir()
            mount("-t", "overlay", "overlay", "-o", f"lowerdir={path},upperdir={upper},workdir={work}", path)
        # faketime names its files here by the ids of processes, which are the same in each namespace.
        mount("-t", "tmpfs", "none", "/dev/shm")
        for part in ("sdk/python", "sdk/node"):
            without = shutil.ignore_patterns("node_modules", "dist", "__pycache__")
            shutil.copytree(ROOT / part, SOURCE / part, ignore=without)
        for part in ("packaging", "examples/monitoring"):
            if (ROOT / part).exists():
                shutil.copytree(ROOT / part, SOURCE / part)
        with open("/etc/hosts", "w") as hosts:
            hosts.write(f"127.0.0.1 localhost\n{PUBLIC_ADDRESS} app.example.com id.example.com\n")

    def cut_network(self):
        """Enters a network of its own, where every port is free, as soon as all packages are there."""
        if self.has_network:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            subprocess.run(["ip", "address", "add", f"{PUBLIC_ADDRESS}/32", "dev", "lo"], check=True)
            self.has_network = False

    def items(self):
        return items(self.page)

    def follow(self, *site, part=None):
        """Writes the files of its page and runs the commands. `site` is the URL, and the ports that processes listen on."""
        for kind, name, text in part or self.items():
            if kind == "run":
                for command in commands(text):
                    self.run(command, site)
            elif kind == "trust":
                # Before the site can be asked by https.
                self.run(text)
            else:
                self.write(name, text, "a" if kind == "append" else "w")

    def tested(self, name, version):
        """Notes a version, which the page must name."""
        named = f"{name} {version}"
        if named not in self.page.read_text():
            raise AssertionError(f"{self.page.name} does not say that it was tested with {named}")
        self.versions.append(named)

    def certificate(self, host):
        """Makes a certificate that the clients of this recipe trust: HOST.pem and HOST.key in the folder."""
        request = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        self.run(f"{request} -x509 -days 30 -subj '/CN=Authority of the recipes' -keyout authority.key -out authority.pem 2>&1")
        self.run(f"{request} -subj /CN={host} -keyout {host}.key -out {host}.csr 2>&1")
        self.write("extensions", f"subjectAltName=DNS:{host}\n")
        sign = f"openssl x509 -req -in {host}.csr -CA authority.pem -CAkey authority.key -days 30 -extfile extensions"
        self.run(f"{sign} -out {host}.pem 2>&1")
        self.run(f"chmod 600 {host}.key && cat authority.pem >> /etc/ssl/certs/ca-certificates.crt")

    def start_app(self):
        """Starts an app on port 3000 that trusts the headers of its proxy."""
        self.start(f"exec {sys.executable} {ROOT / 'docs/tests/app.py'}")

    def write(self, name, text, mode="w"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as file:
            file.write(text)

    def run(self, command, site=None):
        """Runs a command of a page, in the background if it ends with `&`, and returns what it prints."""
        if re.search(r"\bapt-get\b", command):
            # They were installed before.
            return ""
        if command.endswith(" &"):
            self.cut_network()
            self.start(command[:-2])
            return ""
        if site and "handstamp doctor" in command:
            visits.ready(self, *site)
        done = subprocess.run(
            ["bash", "-euc", command], cwd=self.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self, command, environment=None):
        log = self.log.with_name(f"log-{len(self.background)}")
        with log.open("w") as output:
            shell = ["bash", "-euc", command]
            environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
            process = subprocess.Popen(
                shell, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
            )
        self.background.append((command, process, log))

    def start_again(self, port, clock):
        """Starts the app once more, on another port and with a clock that is wrong."""
        command = next(command for command, _, _ in self.background if "3000" in command)
        self.start(f"faketime -f {clock} env {command.replace('3000', str(port))}")

    def output(self):
        """What the commands in the background have printed."""
        return "".join(f"$ {command}\n{log.read_text()}" for command, _, log in self.background)

    def check_processes(self):
        for command, process, log in self.background:
            if process.poll() not in (None, 0):
                raise RuntimeError(f"{command} ended with {process.returncode}:\n{log.read_text()}")


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)
