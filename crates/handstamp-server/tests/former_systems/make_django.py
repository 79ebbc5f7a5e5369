#!/usr/bin/env python3
"""Makes the databases of two Django projects, as SQL, for tests/stories: make_django.py FOLDER.

The one has django-allauth and the model of Django, with a session of the first user, the other one a model of its own. A project has one model of users, so each is
made by a process of its own. `script/former-systems` installs what this needs.
"""

import datetime
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

import django
from django.conf import settings

PASSWORD = "plum-octave-harbour"
# The secret that signs the session.
SECRET = "m$4+kq1z^8r#v2w!7x@p0u&n6(b9e-3t=5y_jhgc%slad"
CREATED = datetime.datetime(2021, 3, 4, 5, 6, 7, 890000, datetime.timezone.utc)
CONTRIB = ["django.contrib.contenttypes", "django.contrib.auth"]
OWN_MODEL = """
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models


class Member(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(unique=True)
    full_name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    created = models.DateTimeField()

    USERNAME_FIELD = "email"
    objects = BaseUserManager()
"""


def set_up(file, apps, **more):
    databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}}
    settings.configure(
        DATABASES=databases,
        INSTALLED_APPS=CONTRIB + apps,
        USE_TZ=True,
        SECRET_KEY=SECRET,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        **more,
    )
    django.setup()


def dump(file, path):
    # Permissions and the notes of migrations are left out, since no test reads them.
    connection = sqlite3.connect(file)
    for table in ["auth_permission", "django_migrations", "django_content_type"]:
        connection.execute(f"DELETE FROM {table}")
    connection.commit()
    path.write_text("\n".join(connection.iterdump()) + "\n", encoding="utf-8")


def hashed(iterations):
    """A hash of the default algorithm, of a small cost, since debug builds are slow."""
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    return PBKDF2PasswordHasher().encode(PASSWORD, "saltsaltsaltsaltsaltsa", iterations)


def sign_in(user):
    """Stores a session that lasts as long as the tests are run."""
    from django.contrib.auth import login
    from django.contrib.sessions.backends.db import SessionStore
    from django.http import HttpRequest

    request = HttpRequest()
    request.session = SessionStore()
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.set_expiry(datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc))
    request.session.save()


def allauth(folder, file):
    apps = ["django.contrib.sessions", "django.contrib.messages", "django.contrib.sites", "allauth", "allauth.account"]
    set_up(file, apps, SITE_ID=1, MIDDLEWARE=["allauth.account.middleware.AccountMiddleware"])
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from allauth.account.models import EmailAddress

    groups = {name: Group.objects.create(name=name) for name in ["staff", "Content editors"]}
    people = [
        ("ada", "Ada@Example.com", "Ada", "Lovelace", hashed(1000), True, True, ["staff", "Content editors"]),
        ("bob", "bob@example.com", "", "", hashed(2000), False, True, ["staff"]),
        ("carol", "carol@example.com", "Carol", "", "!unusable", True, False, []),
        ("dave", "", "Dave", "", hashed(1000), True, False, []),
    ]
    for username, email, first, last, hash, active, verified, names in people:
        user = User.objects.create(
            username=username, email=email, first_name=first, last_name=last, is_active=active, date_joined=CREATED
        )
        User.objects.filter(pk=user.pk).update(password=hash)
        user.groups.set([groups[name] for name in names])
        if email:
            EmailAddress.objects.create(user=user, email=email.lower(), verified=verified, primary=True)
    sign_in(User.objects.get(username="ada"))
    dump(file, folder / "django.sql")


def own_model(folder, file):
    package = file.parent / "members"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "models.py").write_text(OWN_MODEL)
    sys.path.insert(0, str(file.parent))
    set_up(file, ["members"], AUTH_USER_MODEL="members.Member")
    from django.contrib.auth.models import Group
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    from members.models import Member

    ada = Member.objects.create(email="ada@example.com", full_name="Ada", created=CREATED, password=hashed(1000))
    ada.groups.add(Group.objects.create(name="staff"))
    dump(file, folder / "django_own_model.sql")


def main():
    folder = pathlib.Path(sys.argv[1])
    if len(sys.argv) > 2:
        with tempfile.TemporaryDirectory() as made:
            {"allauth": allauth, "own_model": own_model}[sys.argv[2]](folder, pathlib.Path(made) / "made.db")
        return
    for project in ["allauth", "own_model"]:
        subprocess.run([sys.executable, __file__, folder, project], check=True)


main()
