"""Processes of the tests: Handstamp in front of an app, and the visitors of both."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent.parent
HANDSTAMP = os.environ.get("HANDSTAMP_BINARY", str(ROOT / "target/debug/handstamp"))
NODE_MODULES = Path(os.environ.get("SDK_NODE_MODULES", TESTS / "node-newest/node_modules"))
PASSWORD = "plum-octave-harbour"

# Each app: the program, and its arguments.
APPS = {
    "flask": ["flask_app.py"],
    "django": ["django_app.py"],
    "django-asgi": ["django_app.py", "asgi"],
    "fastapi": ["fastapi_app.py"],
    "starlette": ["starlette_app.py"],
    "express": ["express_app.js"],
    "express-cookie": ["express_app.js", "cookie"],
    "fastify": ["fastify_app.js"],
}
# Apps that differ from another in a part of the framework only. They run fewer tests.
VARIANTS = ("django-asgi", "express-cookie")


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def is_listening(address):
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def inherited():
    """The variables that processes of the tests inherit: none of Handstamp."""
    names = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    return {name: os.environ[name] for name in names if name in os.environ}


class Process:
    """A process that is ended with the test, and whose output is in a file."""

    def __init__(self, folder, name, command, environment=None, cwd=None, listen=None):
        self.log_file = folder / f"{name}.log"
        environment = {**inherited(), "HOME": str(folder), **(environment or {})}
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=cwd or folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until = time.monotonic() + 60
        while listen and not is_listening(listen):
            if self.process.poll() is not None or time.monotonic() > until:
                self.end()
                raise AssertionError(f"{name} does not start: {self.log()}")
            time.sleep(0.02)

    def log(self):
        return self.log_file.read_text()

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Front:
    """Handstamp in front of an app. This class is the one place that knows how: by nginx, as `proxy-config` prints it."""

    def __init__(self, folder, app, flags=("--access", "everybody")):
        self.folder = folder
        address, listen = free_address(), free_address()
        # The port of nginx is that of the site.
        self.url = f"http://localhost:{listen.split(':')[1]}"
        self.other_url = f"http://{listen}"
        self.environment = {
            "HANDSTAMP_DATA_DIR": str(folder / "data"),
            "HANDSTAMP_HASHING__MEMORY_KIB": "8",
            "HANDSTAMP_HASHING__ITERATIONS": "1",
            "HANDSTAMP_LISTEN": address,
            "HANDSTAMP_PUBLIC_URL": self.url,
            "HANDSTAMP_TRUSTED_PROXIES": "127.0.0.1",
            "HANDSTAMP_MAIL__NEW_DEVICE": "false",
        }
        self.handstamp = Process(folder, "handstamp", [HANDSTAMP, "serve"], self.environment, listen=address)
        command = [HANDSTAMP, "proxy-config", "nginx", "--listen", listen, "--app", app, "--handstamp", address, *flags]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout
        (folder / "proxy.conf").write_text(printed)
        nginx = ["/usr/sbin/nginx", "-e", "stderr", "-p", str(folder), "-c", "proxy.conf"]
        self.proxy = Process(folder, "nginx", nginx, listen=listen)
        self._wait_until_it_serves()

    def _wait_until_it_serves(self):
        # Handstamp listens before it has opened the database.
        for _ in range(500):
            if httpx.get(f"{self.url}/account/login", trust_env=False).status_code == 200:
                return
            time.sleep(0.02)
        raise AssertionError(self.handstamp.log() + self.proxy.log())

    def run(self, *arguments):
        """Runs a command of an operator."""
        command = [HANDSTAMP, *arguments]
        environment = {**inherited(), **self.environment}
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, input="")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def end(self):
        self.proxy.end()
        self.handstamp.end()


class Site:
    """An app behind Handstamp."""

    def __init__(self, folder, name, settings=None, flags=("--access", "everybody")):
        folder.mkdir(parents=True, exist_ok=True)
        # nginx drops its privileges for its workers.
        for each in (folder, *folder.parents):
            if each.stat().st_uid == os.getuid() and "handstamp-sdk" in str(each):
                each.chmod(0o755)
        self.folder, self.name = folder, name
        self.app_address = free_address()
        self.front = Front(folder, self.app_address, flags)
        self.url = self.front.url
        self.settings = {"HANDSTAMP_URL": self.url, **(settings or {})}
        self.apps = []
        try:
            self.app = self.start_app(self.app_address)
        except AssertionError:
            self.front.end()
            raise

    def start_app(self, address, **settings):
        """Starts an app of this kind, with more settings."""
        environment = {**self.settings, **settings, "LISTEN": address}
        command, environment = app_command(self.folder, self.name, environment)
        number = len(self.apps)
        self.apps.append(Process(self.folder, f"app-{number}", command, environment, listen=address))
        return self.apps[-1]

    def end(self):
        for app in self.apps:
            app.end()
        self.front.end()

    def visitor(self):
        return Visitor(self.url)


def app_command(folder, name, environment):
    """The command that starts an app, and its environment."""
    program, *arguments = APPS[name]
    environment = {"DATABASE": str(folder / "app.sqlite3"), "PYTHONUNBUFFERED": "1", **environment}
    if program.endswith(".py"):
        return [sys.executable, str(TESTS / "apps" / program), *arguments], environment
    # The program is copied beside its packages, since Node finds them from there.
    copies = folder / "node"
    if not copies.exists():
        copies.mkdir()
        (copies / "node_modules").symlink_to(NODE_MODULES)
        (copies / "package.json").write_text('{ "type": "module" }')
        for file in (TESTS / "apps").glob("*.js"):
            shutil.copy(file, copies)
    return ["node", str(copies / program), *arguments], environment


class Visitor:
    """A browser with cookies of its own."""

    def __init__(self, url):
        self.url = url
        self.client = httpx.Client(base_url=url, trust_env=False, timeout=30)

    def fetch(self, path, method="GET", **options):
        """A request of a script."""
        return self.client.request(method, path, **options)

    def navigate(self, path, method="GET", headers=None, **options):
        """A request for a page."""
        headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Origin": self.url, **(headers or {})}
        return self.client.request(method, path, headers=headers, **options)

    def register(self, email="ada@example.com", name="Ada Lovelace", next_path="/"):
        fields = {"name": name, "email": email, "password": PASSWORD, "next": next_path}
        answer = self.navigate("/account/register", "POST", data=fields)
        assert answer.status_code == 303, answer.text
        return answer

    def sign_in(self, email="ada@example.com", next_path="/"):
        fields = {"email": email, "password": PASSWORD, "next": next_path}
        answer = self.navigate("/account/login", "POST", data=fields)
        assert answer.status_code == 303, answer.text
        return answer

    def sign_out(self):
        answer = self.navigate("/account/logout", "POST", data={"next": "/public"})
        assert answer.status_code == 303, answer.text
        return answer

    def copy(self):
        other = Visitor(self.url)
        other.client.cookies = httpx.Cookies(self.client.cookies)
        return other
