"""Prints cookies of Flask, Flask-Login and Flask-Security as a JSON list of cases for tests/legacy_cookies.rs.

Usage: python3 flask_cookies.py, with the packages of requirements.txt
"""

import datetime
import hashlib
import json
import time
import uuid

import flask
import flask_login
import flask_security
from flask_security.datastore import UserDatastore
from itsdangerous import URLSafeTimedSerializer
from markupsafe import Markup

SECRET = "8f42a73054b1749f8f58848be5e6502c1d6a9be07f6b5f3a"
OLD_SECRET = "c0ffb1d9e2a04a57a1347db55e0c6f19"
# Flask-Login encodes a text in Latin-1, which differs from UTF-8 here.
LATIN_SECRET = "kö7Vx2mQ9rTzW4bN8cLpY3sD6fGh1jK5"
DAY = 86_400


class User(flask_login.UserMixin):
    def __init__(self, user_id):
        self.id = user_id


def login_app(secret, **config):
    """An application with Flask-Login and the requests that the cases need."""
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY=secret, **config)
    manager = flask_login.LoginManager(app)
    manager.user_loader(User)

    @app.get("/login/<user_id>")
    def login(user_id):
        flask_login.login_user(User(user_id), remember="remember" in flask.request.args)
        flask.session.permanent = "permanent" in flask.request.args
        return "in"

    @app.get("/logout")
    def logout():
        flask_login.logout_user()
        flask.session["theme"] = "dark"
        return "out"

    @app.get("/fill")
    def fill():
        flask.session.update(
            cart=[("apple", 2), ("pear", 1)] * 20,
            seen=datetime.datetime(2026, 11, 28, tzinfo=datetime.timezone.utc),
            raw=b"\xff\x00",
            markup=Markup("<b>"),
            key=uuid.UUID(int=5),
            odd={" t": "a dictionary that looks like a tag"},
        )
        return "full"

    @app.get("/plain/<value>")
    def plain(value):
        flask.session["user_id"] = {"number": 7, "uuid": uuid.UUID(int=1 << 100)}[value]
        return "in"

    return app


def value(client, name="session"):
    return client.get_cookie(name).value


def signed_at(secret, cookie):
    """The time that itsdangerous itself reads."""
    serializer = flask.sessions.SecureCookieSessionInterface().get_signing_serializer(login_app(secret))
    return int(serializer.loads(cookie, return_timestamp=True)[1].timestamp())


def case(name, cookie, expect, secrets=(SECRET,), kind="flask", now=None, **more):
    settings = {"kind": kind, "secrets": list(secrets), **more.pop("settings", {})}
    return {"name": name, "settings": settings, "cookie": cookie, "now": now or int(time.time()), "expect": expect, **more}


def good(name, cookie, user, secrets=(SECRET,), max_age=31 * DAY, signed_with=None, key="id", **more):
    issued = signed_at(signed_with or secrets[0], cookie)
    expect = {"user": {key: user}, "issued_at": issued, "expires_at": issued + max_age}
    return case(name, cookie, expect, secrets, **more)


def flask_cases():
    client = login_app(SECRET).test_client()
    client.get("/login/42")
    first = value(client)
    yield good("flask: Flask-Login", first, "42")
    client.get("/fill")
    assert value(client).startswith("."), "it is compressed"
    yield good("flask: compressed, with tags", value(client), "42", same_session_as="flask: Flask-Login")
    client.get("/logout")
    yield case("flask: signed out", value(client), "no_user")

    lifetime = datetime.timedelta(hours=2)
    client = login_app(SECRET, PERMANENT_SESSION_LIFETIME=lifetime).test_client()
    client.get("/login/ada@example.com?permanent")
    yield good("flask: two hours", value(client), "ada@example.com", max_age=7200, settings={"max_age": 7200})

    client = login_app(OLD_SECRET).test_client()
    client.get("/login/42")
    rotated = login_app(SECRET, SECRET_KEY_FALLBACKS=[OLD_SECRET])
    serializer = flask.sessions.SecureCookieSessionInterface().get_signing_serializer(rotated)
    assert serializer.loads(value(client))["_user_id"] == "42", "Flask itself takes the fallback"
    # The same user in a browser of the same name at the same address.
    same = {"same_session_as": "flask: Flask-Login"}
    yield good("flask: fallback", value(client), "42", (SECRET, OLD_SECRET), signed_with=OLD_SECRET, **same)
    yield case("flask: another secret", value(client), "bad_signature")

    client = login_app(SECRET).test_client()
    client.get("/plain/number")
    yield good("flask: plain key", value(client), "7", settings={"user_key": "user_id"})
    yield case("flask: plain key that is not configured", value(client), "no_user")
    client.get("/plain/uuid")
    expected = str(uuid.UUID(int=1 << 100))
    yield good("flask: plain key with a UUID", value(client), expected, settings={"user_key": "user_id"})

    # The signer of Flask with another salt, as for other purposes, and with the key derivation that itsdangerous defaults to.
    session = {"_user_id": "42", "_fresh": True}
    ours = {"key_derivation": "hmac", "digest_method": hashlib.sha1}
    other_salt = URLSafeTimedSerializer(SECRET, salt="itsdangerous", signer_kwargs=ours).dumps(session)
    yield case("flask: another salt", other_salt, "bad_signature")
    other_derivation = URLSafeTimedSerializer(SECRET, salt="cookie-session").dumps(session)
    yield case("flask: another derivation of the key", other_derivation, "bad_signature")
    no_object = URLSafeTimedSerializer(SECRET, salt="cookie-session", signer_kwargs=ours).dumps([1])
    yield case("flask: no object", no_object, "unreadable")
    bomb = URLSafeTimedSerializer(SECRET, salt="cookie-session", signer_kwargs=ours).dumps({"_user_id": "0" * 300_000})
    assert len(bomb) < 4096
    yield case("flask: inflates too far", bomb, "too_long")


def remember_cases():
    kind = "flask-login-remember"
    for name, secret, user in [
        ("", SECRET, "42"),
        (", an address", SECRET, "ada@example.com"),
        (", a secret in Latin-1", LATIN_SECRET, "a|b"),
    ]:
        client = login_app(secret).test_client()
        client.get(f"/login/{user}?remember")
        expect = {"user": {"id": user}, "issued_at": None, "expires_at": None}
        yield case(f"{kind}{name}", value(client, "remember_token"), expect, (secret,), kind)
    client = login_app(OLD_SECRET).test_client()
    client.get("/login/42?remember")
    cookie = value(client, "remember_token")
    expect = {"user": {"id": "42"}, "issued_at": None, "expires_at": None}
    yield case(f"{kind}: fallback", cookie, expect, (SECRET, OLD_SECRET), kind, same_session_as=kind)
    yield case(f"{kind}: another secret", cookie, "bad_signature", (SECRET,), kind)


class Account(flask_security.UserMixin):
    id = 42
    email = "ada@example.com"
    active = True
    fs_uniquifier = "5f1e8a90c3f54c1d9c0a77b4be0e2d61"
    roles = []
    password = None


class OneAccount(UserDatastore):
    """A store with one account, so that no database is needed."""

    def __init__(self, account):
        super().__init__(Account, flask_security.RoleMixin)
        self.account = account

    def find_user(self, case_insensitive=False, **attributes):
        return self.account if all(getattr(self.account, k) == v for k, v in attributes.items()) else None

    def find_role(self, role):
        return None

    def put(self, model):
        return model

    def commit(self):
        pass


def security_cases():
    app = flask.Flask(__name__)
    app.config.update(
        SECRET_KEY=SECRET,
        SECURITY_PASSWORD_SALT="146585145368132386173505678016728509634",
        SECURITY_PASSWORD_HASH="pbkdf2_sha512",
        WTF_CSRF_ENABLED=False,
    )
    account = Account()
    flask_security.Security(app, OneAccount(account))
    with app.app_context():
        account.password = flask_security.hash_password("correct horse battery")
    client = app.test_client()
    answer = client.post("/login", data={"email": "ada@example.com", "password": "correct horse battery", "remember": "y"})
    assert answer.status_code == 302, answer.text
    yield good("flask: Flask-Security", value(client), account.fs_uniquifier, key="fs_uniquifier")
    expect = {"user": {"fs_uniquifier": account.fs_uniquifier}, "issued_at": None, "expires_at": None}
    cookie, kind = value(client, "remember_token"), "flask-login-remember"
    yield case(f"{kind}: Flask-Security", cookie, expect, kind=kind, settings={"user_key": "fs_uniquifier"})


if __name__ == "__main__":
    cases = [*flask_cases(), *remember_cases(), *security_cases()]
    print(json.dumps(cases, indent=1, ensure_ascii=False))
