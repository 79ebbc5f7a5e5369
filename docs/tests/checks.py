"""The checks of the recipes, by the name of their page."""

import visits

SITE = "http://localhost:8080"
# The Debian packages that a check needs beside those that its page installs.
PACKAGES = {}


def app(recipe, path="/"):
    """Follows the page of an app on port 3000, in front of which Handstamp stands, and attacks the app."""
    site = (SITE, (3000, 8080))
    recipe.follow(*site)
    visits.ready(recipe, *site)
    visitor = visits.visit(SITE, path)
    refused = visits.attack(recipe, visitor, path=path)
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


CHECKS = {
    "django": python(django="Django", gunicorn="Gunicorn"),
    "express": express,
    "fastapi": python(fastapi="FastAPI", uvicorn="Uvicorn"),
    "flask": python(flask="Flask", gunicorn="Gunicorn"),
}
