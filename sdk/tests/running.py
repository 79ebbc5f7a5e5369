"""Processes of the tests: Handstamp in front of an app, and the visitors of both."""

import contextlib
import os
import shutil
import signal
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


def front():
    """How Handstamp stands in front of the apps: `serve` for its own mode, if it has one, or `nginx`."""
    described = subprocess.run([HANDSTAMP, "serve", "--help"], capture_output=True, text=True).stdout
    return os.environ.get("SDK_FRONT") or ("serve" if "--app" in described else "nginx")


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
                command,
                env=environment,
                cwd=cwd or folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
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
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def _signal(self, number):
        """npm and a shell leave their children running."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Front:
    """Handstamp in front of an app. This class is the one place that knows how."""

    def __init__(self, folder, app):
        self.folder = folder
        listen = free_address()
        port = listen.split(":")[1]
        self.url = f"http://localhost:{port}"
        # The same site by an address that the app is not configured for.
        self.other_host = listen
        self.environment = {
            "HANDSTAMP_DATA_DIR": str(folder / "data"),
            "HANDSTAMP_HASHING__MEMORY_KIB": "8",
            "HANDSTAMP_HASHING__ITERATIONS": "1",
            "HANDSTAMP_PUBLIC_URL": self.url,
            "HANDSTAMP_MAIL__NEW_DEVICE": "false",
        }
        if front() == "nginx":
            # By the configuration that is printed.
            self.environment["HANDSTAMP_TRUSTED_PROXIES"] = "127.0.0.1"
            self.node_address = free_address()
            node = self._serve("handstamp", self.node_address)
            arguments = ["--listen", listen, "--app", app, "--handstamp", self.node_address, "--access", "everybody"]
            (folder / "proxy.conf").write_text(self.run("proxy-config", "nginx", *arguments))
            nginx = ["/usr/sbin/nginx", "-e", "stderr", "-p", str(folder), "-c", "proxy.conf"]
            self.processes = [node, Process(folder, "nginx", nginx, listen=listen)]
        else:
            in_front = {"HANDSTAMP_APP__URL": f"http://{app}", "HANDSTAMP_APP__ACCESS": "everybody"}
            self.processes = [self._serve("handstamp", listen, **in_front)]
            self.node_address = None
        self._wait_until_it_serves()

    def _serve(self, name, listen, **settings):
        environment = {**self.environment, **settings, "HANDSTAMP_LISTEN": listen}
        return Process(self.folder, name, [HANDSTAMP, "serve"], environment, listen=listen)

    def _wait_until_it_serves(self):
        # Handstamp listens before it has opened the database.
        for _ in range(500):
            if httpx.get(f"{self.url}/account/login", trust_env=False).status_code == 200:
                return
            time.sleep(0.02)
        raise AssertionError([process.log() for process in self.processes])

    def assertion_of(self, visitor, host=None):
        """The assertion that an app at this host gets with a request of a visitor. Only proxies ask for it like this."""
        if self.node_address is None:
            self.node_address = free_address()
            self.processes.append(self._serve("node", self.node_address))
        cookies = "; ".join(f"{name}={value}" for name, value in visitor.client.cookies.items())
        host = host or self.url.split("://")[1]
        headers = {"X-Forwarded-Proto": "http", "X-Forwarded-Host": host, "Cookie": cookies}
        for _ in range(500):
            answer = httpx.get(f"http://{self.node_address}/auth/forward", headers=headers, trust_env=False)
            if answer.status_code == 200:
                return answer.headers["Handstamp-Assertion"]
            # The node has just started.
            time.sleep(0.02)
        raise AssertionError(answer.text)

    def run(self, *arguments):
        """Runs a command of an operator."""
        command = [HANDSTAMP, *arguments]
        environment = {**inherited(), **self.environment}
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, input="")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def end(self):
        for process in reversed(self.processes):
            process.end()


class Site:
    """An app behind Handstamp."""

    def __init__(self, folder, name, settings=None):
        folder.mkdir(parents=True, exist_ok=True)
        # nginx drops its privileges for its workers.
        for each in (folder, *folder.parents):
            if each.stat().st_uid == os.getuid() and "handstamp-sdk" in str(each):
                each.chmod(0o755)
        self.folder, self.name = folder, name
        self.app_address = free_address()
        self.front = Front(folder, self.app_address)
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

    def fetch(self, path, method="GET", headers=None, **options):
        """A request of a script of the site."""
        headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Origin": self.url, **(headers or {})}
        return self.client.request(method, path, headers=headers, **options)

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
