"""Prints cookies and stored sessions of Django as a JSON list of cases for tests/legacy_cookies.rs.

Usage: python3 django_cookies.py, with the packages of requirements.txt
"""

import json
import time

import django
from django.conf import settings
from django.core import signing
from django.core.management import call_command

SECRET = "m$4+kq1z^8r#v2w!7x@p0u&n6(b9e-3t=5y_jhgc%slad"
OLD_SECRET = "django-insecure-v7t2#q@l9z$w4x!k8p^m1r&n5(b3e-6y=0u_jhgc"
DAY = 86_400

settings.configure(
    SECRET_KEY=SECRET,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.PBKDF2PasswordHasher"],
    USE_TZ=True,
)
django.setup()
call_command("migrate", verbosity=0)

from django.contrib.auth import get_user, get_user_model, login  # noqa: E402
from django.contrib.sessions.backends import db, signed_cookies  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.test import override_settings  # noqa: E402

BACKEND = "django.contrib.auth.backends.ModelBackend"
SIGNED_SALT = "django.contrib.sessions.backends.signed_cookies"


def signed_in(user, engine, **contents):
    """The session of a user who has just signed in, saved."""
    request = HttpRequest()
    request.session = engine.SessionStore()
    login(request, user, backend=BACKEND)
    request.session.update(contents)
    request.session.save()
    return request.session


def is_accepted(session_key, engine):
    """Whether Django itself knows the user of a cookie."""
    request = HttpRequest()
    request.session = engine.SessionStore(session_key)
    return get_user(request).is_authenticated


def signed_at(text, salt=SIGNED_SALT):
    """The time in a text that Django has signed."""
    signer = signing.TimestampSigner(salt=salt, fallback_keys=[OLD_SECRET])
    return signing.b62_decode(signer.sep.join([signing.Signer.unsign(signer, text)]).rsplit(":", 1)[1])


def case(name, cookie, expect, secrets=(SECRET,), now=None, **more):
    configuration = {"kind": "django", "secrets": list(secrets), **more.pop("settings", {})}
    return {"name": name, "settings": configuration, "cookie": cookie, "now": now or int(time.time()), "expect": expect, **more}


def good(name, cookie, user, max_age=14 * DAY, **more):
    issued = signed_at(cookie)
    expect = {"user": {"id": str(user.pk)}, "issued_at": issued, "expires_at": issued + max_age}
    return case(name, cookie, expect, password_hash=user.password, tied=True, **more)


def stored(key):
    row = Session.objects.get(session_key=key)
    return {"key": key, "content": row.session_data, "expires_at": int(row.expire_date.timestamp())}


def cookie_cases(user):
    session = signed_in(user, signed_cookies)
    assert is_accepted(session.session_key, signed_cookies)
    yield good("django: signed cookie", session.session_key, user)
    other_password = {"password_hash": user.password.replace("$", "$x", 1), "tied": True}
    yield case("django: changed password", session.session_key, "password_changed", **other_password)

    session = signed_in(user, signed_cookies, cart=["apple"] * 100)
    assert session.session_key.startswith("."), "it is compressed"
    yield good("django: compressed", session.session_key, user)

    session = signed_in(user, signed_cookies)
    session.set_expiry(3600)
    session.save()
    yield good("django: an hour by set_expiry", session.session_key, user, max_age=3600)
    session.set_expiry(0)
    session.save()
    yield good("django: until the browser closes", session.session_key, user)
    with override_settings(SESSION_COOKIE_AGE=7200):
        cookie = signed_in(user, signed_cookies).session_key
    yield good("django: two hours", cookie, user, max_age=7200, settings={"max_age": 7200})

    with override_settings(SECRET_KEY=OLD_SECRET):
        cookie = signed_in(user, signed_cookies).session_key
    with override_settings(SECRET_KEY_FALLBACKS=[OLD_SECRET]):
        assert is_accepted(cookie, signed_cookies), "Django itself takes the fallback"
        yield good("django: fallback", cookie, user, secrets=(SECRET, OLD_SECRET))
    assert not is_accepted(cookie, signed_cookies)
    yield case("django: another secret", cookie, "bad_signature", password_hash=user.password)

    anonymous = signed_cookies.SessionStore()
    anonymous["theme"] = "dark"
    anonymous.save()
    yield case("django: no user is signed in", anonymous.session_key, "no_user")

    contents = dict(signed_in(user, signed_cookies).items())
    yield case("django: another salt", signing.dumps(contents), "bad_signature")
    row_salt = signing.dumps(contents, salt=db.SessionStore().key_salt)
    yield case("django: the salt of the database", row_salt, "bad_signature")
    del contents["_auth_user_hash"]
    yield case("django: no auth hash", signing.dumps(contents, salt=SIGNED_SALT), "no_auth_hash")
    contents["_auth_user_hash"] = ""
    yield case("django: empty auth hash", signing.dumps(contents, salt=SIGNED_SALT), "no_auth_hash")
    bomb = signing.dumps({**contents, "x": "0" * 300_000}, salt=SIGNED_SALT, compress=True)
    yield case("django: inflates too far", bomb, "too_long")


def database_cases(user):
    session = signed_in(user, db, cart=["apple"] * 100)
    row, key = stored(session.session_key), session.session_key
    assert is_accepted(key, db)
    issued = signed_at(row["content"], session.key_salt)
    expect = {"user": {"id": str(user.pk)}, "issued_at": issued, "expires_at": row["expires_at"]}
    ours = {"password_hash": user.password, "tied": True}
    yield case("django: database", key, expect, stored=row, **ours)
    yield case("django: database, changed password", key, "password_changed", stored=row, password_hash="!", tied=True)
    yield case("django: database, without expiry", key, "no_expiry", stored={**row, "expires_at": None}, **ours)
    cookie_salt = {**row, "content": signed_in(user, signed_cookies).session_key}
    yield case("django: database, the salt of cookies", key, "bad_signature", stored=cookie_salt, **ours)

    with override_settings(SECRET_KEY=OLD_SECRET):
        key = signed_in(user, db).session_key
    row = stored(key)
    issued = signed_at(row["content"], session.key_salt)
    expect = {"user": {"id": str(user.pk)}, "issued_at": issued, "expires_at": row["expires_at"]}
    yield case("django: database, fallback", key, expect, (SECRET, OLD_SECRET), stored=row, **ours)
    yield case("django: database, another secret", key, "bad_signature", stored=row, **ours)


if __name__ == "__main__":
    ada = get_user_model().objects.create_user("ada", "ada@example.com", "correct horse battery")
    ada.pk, _ = 42, ada.delete()
    ada.save(force_insert=True)
    print(json.dumps([*cookie_cases(ada), *database_cases(ada)], indent=1))
