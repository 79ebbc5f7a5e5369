"""The examples in the documents, run as they are printed, and the programs of `examples` behind a real Handstamp."""

import os
import re
import subprocess
import sys

import httpx
import pytest

from running import NODE_MODULES, ROOT, Front, Process, Visitor, free_address, inherited

URL = "http://localhost:8080"
GUIDES = {
    "python": ["docs/src/guide/python.md", "sdk/python/README.md"],
    "js": ["docs/src/guide/node.md", "sdk/node/README.md"],
}


def sections(document, language):
    """The examples below each heading of a document."""
    found = {}
    for section in (ROOT / document).read_text().split("\n## ")[1:]:
        blocks = re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
        if blocks:
            found[section.splitlines()[0]] = blocks
    return found


def cases(language):
    return [(document, heading) for document in GUIDES[language] for heading in sections(document, language)]


# Examples of Django change settings that a project has.
SETTINGS = """
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "rest_framework"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
"""
CHECK_SETTINGS = """
from django.conf import settings
names = ["INSTALLED_APPS", "MIDDLEWARE", "AUTHENTICATION_BACKENDS"]
more = {name: globals()[name] for name in ("HANDSTAMP", "REST_FRAMEWORK") if name in globals()}
settings.configure(SECRET_KEY="x", ROOT_URLCONF="rest_framework.urls", **{name: globals()[name] for name in names}, **more)
import django
django.setup()
from django.core import checks
found = [message.id for message in checks.run_checks() if message.id.startswith("handstamp")]
assert found == [], found
assert settings.LOGIN_URL == "/account/login"
"""


@pytest.mark.parametrize(("document", "heading"), cases("python"))
def test_each_example_in_python_runs(document, heading, tmp_path):
    blocks = sections(document, "python")[heading]
    program = []
    if heading == "Django":
        # A class needs the models, which need the settings.
        late = [block for block in blocks if "import" in block]
        program = [SETTINGS, *(block for block in blocks if block not in late), CHECK_SETTINGS, *late]
    else:
        program = blocks
    program.append("for name, value in list(globals().items()):\n    name.startswith('test_') and value()\n")
    (tmp_path / "example.py").write_text("\n".join(program))
    environment = {**inherited(), "HANDSTAMP_URL": URL}
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("document", "heading"), cases("js"))
def test_each_example_in_node_runs(document, heading, tmp_path):
    blocks = sections(document, "js")[heading]
    if heading == "Tests of an app":
        blocks = sections(document, "js")["Fastify"] + blocks
    # Programs that listen end with the test; declarations of several blocks are apart.
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "package.json").write_text('{ "type": "module" }')
    joined = ["\n".join(blocks)] if heading == "Tests of an app" else blocks
    for number, block in enumerate(joined):
        (tmp_path / f"example-{number}.js").write_text(f"{block}\nprocess.exit(0);\n")
        environment = {**inherited(), "HANDSTAMP_URL": URL, "PORT": "0"}
        command = ["node", f"example-{number}.js"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_guides_have_the_programs_as_they_are():
    guide = sections("docs/src/guide/python.md", "python")["Flask"][0]
    assert guide == (ROOT / "examples/flask-app/app.py").read_text()
    guide = sections("docs/src/guide/node.md", "js")["Express"][0]
    assert guide == (ROOT / "examples/express-app/app.js").read_text()
    for name in ("password", "cookie"):
        for program in ("flask-app/app.py", "express-app/app.js"):
            lines = (ROOT / "examples" / program).read_text().splitlines()
            assert not any(name in line for line in lines[1:])


def command_of(name, folder, port):
    """The command that the guide prints to start the program, with its port and the URL of the site."""
    document = {"flask-app": "docs/src/guide/python.md", "express-app": "docs/src/guide/node.md"}[name]
    block = re.search(rf"^```sh\n([^`]*cd examples/{name}\n[^`]*)^```$", (ROOT / document).read_text(), re.MULTILINE)
    last = block[1].splitlines()[-1]
    assert f"HANDSTAMP_URL={URL} " in last
    return last.replace("--port 3000", f"--port {port}")


@pytest.mark.parametrize("name", ["flask-app", "express-app"])
def test_a_program_of_the_guide_greets_the_user(name, tmp_path_factory, folder):
    place = folder / name
    place.mkdir()
    place.chmod(0o755)
    address = free_address()
    port = address.split(":")[1]
    front = Front(place, address)
    program = ROOT / "examples" / name
    if name == "express-app":
        # The package is found beside the program.
        copy = place / "program"
        copy.mkdir()
        for file in ("app.js", "package.json"):
            (copy / file).write_text((program / file).read_text())
        (copy / "node_modules").symlink_to(NODE_MODULES)
        program = copy
    command = command_of(name, place, port).replace(URL, front.url)
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    shell = ["sh", "-c", f"{command.split(' ', 1)[0]} exec {command.split(' ', 1)[1]}"]
    app = Process(place, "app", shell, {"PATH": path, "PORT": port}, cwd=program, listen=address)
    try:
        visitor = Visitor(front.url)
        home = visitor.navigate("/").text
        assert '<a href="/account/login?next=%2Fwelcome">Sign in</a>' in home
        assert visitor.navigate("/welcome").headers["Location"] == "/account/login?next=%2Fwelcome"
        assert visitor.register("ada@example.com", "Zoë <b>", "/welcome").headers["Location"] == "/welcome"
        page = visitor.navigate("/welcome")
        assert "<h1>Welcome, Zoë &" in page.text
        assert "<b>" not in page.text
        assert page.headers["Cache-Control"] == "no-store"
        assert visitor.navigate("/orders").status_code == 403
        front.run("user", "groups", "ada@example.com", "--add", "staff")
        assert "<h1>Orders" in visitor.navigate("/orders").text
        assert httpx.URL(re.search(r'href="([^"]*logout[^"]*)"', page.text)[1]).params["next"] == "/"
        visitor.sign_out()
        assert "Sign in" in visitor.navigate("/").text
    finally:
        app.end()
        front.end()
