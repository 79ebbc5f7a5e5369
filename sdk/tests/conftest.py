"""The sites of the tests: each app behind Handstamp, started once."""

import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from running import APPS, VARIANTS, Site

NUMBERS = itertools.count()


def chosen_apps():
    return os.environ.get("SDK_APPS", " ".join(APPS)).split()


@pytest.fixture(scope="session")
def folder():
    path = Path(tempfile.mkdtemp(prefix="handstamp-sdk-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def sites(folder):
    """Returns the site of an app, which is started when it is first asked for."""
    started = {}

    def site(name):
        if name not in chosen_apps():
            pytest.skip(f"{name} is not tested now")
        if name not in started:
            started[name] = Site(folder / name, name)
        return started[name]

    yield site
    for each in started.values():
        each.end()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Gives all tests of an app to one process, since its site is started once for each."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        item.add_marker(pytest.mark.xdist_group(parameters.get("site") or parameters.get("main_site") or item.path.stem))


@pytest.fixture(params=APPS)
def site(request, sites):
    return sites(request.param)


@pytest.fixture(params=[name for name in APPS if name not in VARIANTS])
def main_site(request, sites):
    """The site of an app that is no variant of another."""
    return sites(request.param)


@pytest.fixture
def email():
    """An address of this test."""
    return f"user-{next(NUMBERS)}@example.com"


@pytest.fixture
def ada(request, email):
    """A visitor who has just registered."""
    name = "site" if "site" in request.fixturenames else "main_site"
    visitor = request.getfixturevalue(name).visitor()
    visitor.register(email)
    visitor.email = email
    return visitor
