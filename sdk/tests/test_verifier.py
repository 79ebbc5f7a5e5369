"""The verification in Python: claims, keys and settings. The keys come from a real server, which counts its requests."""

import json
import logging
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handstamp import (
    ConfigurationError,
    InvalidAssertionError,
    KeysUnavailableError,
    NotInGroupError,
    Settings,
    SettingsError,
    User,
    Verifier,
    keys,
    web,
)
from handstamp.testing import assertion_for, made_up_user

SITE = Settings.read({"URL": "https://app.example.com"})


class KeyServer:
    """A server of keys that can be rotated and that can be away."""

    def __init__(self):
        self.private, self.requests, self.answer = {}, 0, None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests += 1
                body = server.answer if server.answer is not None else server.jwks()
                self.send_response(200 if self.path == "/account/jwks.json" else 404)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def jwks(self):
        listed = []
        for key_id, key in self.private.items():
            described = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key()))
            listed.append({**described, "kid": key_id, "alg": "EdDSA", "use": "sig"})
        # A key of another kind is of no interest.
        return json.dumps({"keys": [*listed, {"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB"}]}).encode()

    def add_key(self, key_id):
        self.private[key_id] = Ed25519PrivateKey.generate()

    def sign(self, key_id="a", **changes):
        now = int(time.time())
        claims = {
            "iss": "https://app.example.com",
            "aud": "https://app.example.com",
            "sub": "u",
            "sid": "s",
            "iat": now - 30,
            "exp": now + 60,
        }
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(claims, self.private.get(key_id) or Ed25519PrivateKey.generate(), "EdDSA", {"kid": key_id})

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def server():
    server = KeyServer()
    server.add_key("a")
    yield server
    server.stop()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def verifier(server, clock):
    return Verifier(SITE, keys.RemoteKeys(f"{server.url}/account/jwks.json", clock))


def test_the_keys_are_fetched_once_and_again_after_their_lifetime(server, clock, verifier):
    for _ in range(5):
        assert verifier.verify(server.sign()).id == "u"
    assert server.requests == 1
    clock.now += keys.LIFETIME - 1
    verifier.verify(server.sign())
    assert server.requests == 1
    clock.now += 1
    verifier.verify(server.sign())
    assert server.requests == 2


def test_the_claims_tell_how_and_when_the_user_authenticated(server, verifier):
    user = verifier.verify(server.sign(amr=["pwd", "otp"], acr="2", auth_time=1_700_000_000))
    told = (user.methods, user.assurance, user.authenticated_at)
    assert told == (("pwd", "otp"), 2, datetime.fromtimestamp(1_700_000_000, timezone.utc))
    assert [user.has_assurance(level) for level in (1, 2, 3)] == [True, True, False]
    # A claim that an older Handstamp does not send counts as the least.
    user = verifier.verify(server.sign())
    assert (user.methods, user.assurance, user.authenticated_at) == ((), 1, None)
    made_up = made_up_user(methods=["pwd", "otp"], assurance=2, authenticated_at=told[2])
    seen = Verifier(SITE)
    seen = seen.verify(assertion_for(made_up, seen))
    assert (seen.methods, seen.assurance, seen.authenticated_at) == told


def test_a_new_key_is_fetched_at_once_and_forged_ones_once_a_minute(server, clock, verifier):
    verifier.verify(server.sign())
    server.add_key("b")
    assert verifier.verify(server.sign("b")).id == "u"
    assert server.requests == 2
    for number in range(50):
        with pytest.raises(InvalidAssertionError):
            verifier.verify(server.sign(f"forged-{number}"))
    assert server.requests == 2
    clock.now += keys.UNKNOWN_KEY_INTERVAL
    for number in range(50):
        with pytest.raises(InvalidAssertionError):
            verifier.verify(server.sign(f"forged-{number}"))
    assert server.requests == 3


def test_a_key_that_is_no_longer_published_is_refused_after_the_lifetime(server, clock, verifier):
    old = server.sign()
    verifier.verify(old)
    server.private = {}
    server.add_key("b")
    clock.now += keys.LIFETIME
    with pytest.raises(InvalidAssertionError):
        verifier.verify(old)


def test_keys_that_cannot_be_fetched_again_are_not_used(server, clock, verifier):
    verifier.verify(server.sign())
    server.answer = b"not JSON"
    verifier.verify(server.sign())
    with pytest.raises(KeysUnavailableError):
        verifier.verify(server.sign("unknown"))
    clock.now += keys.LIFETIME
    with pytest.raises(KeysUnavailableError):
        verifier.verify(server.sign())
    server.answer = None
    clock.now += keys.RETRY_INTERVAL
    assert verifier.verify(server.sign()).id == "u"


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a"}]}']
)
def test_a_malformed_set_of_keys_is_no_key(server, clock, verifier, answer, caplog):
    server.answer = answer
    for _ in range(5):
        with pytest.raises(KeysUnavailableError):
            verifier.verify(server.sign())
    assert server.requests == 1, "the next fetch waits"
    assert f"{server.url}/account/jwks.json" in caplog.text


def test_threads_that_need_the_keys_share_one_fetch(server, verifier):
    token, found = server.sign(), []
    threads = [threading.Thread(target=lambda: found.append(verifier.verify(token).id)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, server.requests) == (["u"] * 20, 1)


@pytest.mark.parametrize("claim", ["aud", "exp", "iat", "iss", "sid", "sub"])
def test_each_claim_that_matters_is_required(server, verifier, claim):
    with pytest.raises(InvalidAssertionError):
        verifier.verify(server.sign(**{claim: None}))


def test_the_clock_may_differ_by_half_a_minute(server, verifier):
    now = int(time.time())
    for changes in ({"exp": now - 25}, {"iat": now + 25}, {"nbf": now + 25}):
        verifier.verify(server.sign(**changes))
    for changes in ({"exp": now - 35}, {"iat": now + 35}, {"nbf": now + 35}):
        with pytest.raises(InvalidAssertionError):
            verifier.verify(server.sign(**changes))


def test_another_audience_or_issuer_is_an_error_of_configuration(server, verifier, caplog):
    for changes in ({"aud": "https://app.example.com/"}, {"aud": ["https://app.example.com"]}, {"aud": "https://other"}):
        with pytest.raises(ConfigurationError):
            verifier.verify(server.sign(**changes))
    with pytest.raises(ConfigurationError):
        verifier.verify(server.sign(iss="https://other"))
    assert "from https://other, but HANDSTAMP_PUBLIC_URL is https://app.example.com" in caplog.text
    assert len(caplog.records) == 4
    # A forged one says nothing about the configuration.
    with pytest.raises(InvalidAssertionError):
        verifier.verify(server.sign("forged", aud="https://other"))


def test_the_groups_that_the_proxy_or_the_app_requires_are_checked(server, verifier):
    staff = {"groups": ["staff"]}
    assert verifier.verify(server.sign(**staff, required_groups=["admins", "staff"])).groups == ("staff",)
    for required in (["admins"], []):
        with pytest.raises(NotInGroupError):
            verifier.verify(server.sign(**staff, required_groups=required))
    ours = Verifier(Settings.read({"URL": "https://app.example.com", "GROUPS": "admins"}), verifier.keys)
    with pytest.raises(NotInGroupError):
        ours.verify(server.sign(**staff, required_groups=["staff"]))
    assert ours.verify(server.sign(groups=["admins"])).is_in("admins")


@pytest.mark.parametrize(
    "changes",
    [{"sub": ""}, {"groups": "staff"}, {"groups": [1]}, {"email": 1}, {"acr": "high"}, {"auth_time": "x"}, {"sid": 1}],
)
def test_a_malformed_claim_is_refused(server, verifier, changes):
    with pytest.raises(InvalidAssertionError):
        verifier.verify(server.sign(**changes))


def test_all_claims_are_there(server, verifier):
    more = {
        "sid": "s",
        "amr": ["pwd", "otp"],
        "acr": "2",
        "auth_time": 1,
        "name": "Zoë",
        "email": "z@example.com",
        "legacy_id": 7,
    }
    user = verifier.verify(server.sign(**more, email_verified=True, groups=["a", "b"]))
    assert (user.session_id, user.methods, user.assurance, user.name) == ("s", ("pwd", "otp"), 2, "Zoë")
    assert (user.email, user.verified_email, user.legacy_id, user.groups) == ("z@example.com", "z@example.com", "7", ("a", "b"))
    assert user.authenticated_at.timestamp() == 1
    unverified = verifier.verify(server.sign(email="z@example.com"))
    assert (unverified.email, unverified.verified_email) == ("z@example.com", None)


def test_several_assertions_are_refused_and_none_is_anonymous(server, verifier):
    token = server.sign()
    assert verifier.user_of([]) is None
    assert verifier.user_of([""]) is None
    assert verifier.user_of([token]).id == "u"
    with pytest.raises(InvalidAssertionError):
        verifier.user_of([token, token])
    with pytest.raises(InvalidAssertionError):
        verifier.user_of(["", token])


def test_a_test_signs_in_without_a_server():
    verifier, user = Verifier(SITE), made_up_user(groups=["staff"])
    assert verifier.verify(assertion_for(user, verifier)).id == user.id
    other = Verifier(SITE)
    assertion_for(user, other)
    with pytest.raises(InvalidAssertionError):
        other.verify(assertion_for(user, verifier))


GOOD = {
    "https://App.Example.com/": "https://app.example.com",
    "https://app.example.com:443": "https://app.example.com",
    "http://localhost:8000": "http://localhost:8000",
    "http://[::1]:8000": "http://[::1]:8000",
}


@pytest.mark.parametrize("given", GOOD)
def test_an_origin_has_the_spelling_of_browsers(given):
    assert Settings.read({"URL": given}).origins == (GOOD[given],)


@pytest.mark.parametrize(
    "given", ["localhost", "//a", "ftp://a", "http://", "http://a:b", "http://u@a", "http://a?b", "http://a#b", 7]
)
def test_a_url_that_is_none_is_refused(given):
    for name in ("URL", "PUBLIC_URL", "ORIGINS"):
        with pytest.raises(SettingsError, match=f"HANDSTAMP_{name}"):
            Settings.read({"URL": "http://a", name: given})


def test_settings_come_from_the_environment_too(monkeypatch):
    monkeypatch.setenv("HANDSTAMP_URL", "http://handstamp:8080")
    monkeypatch.setenv("HANDSTAMP_PUBLIC_URL", "https://example.com")
    monkeypatch.setenv("HANDSTAMP_ORIGINS", "https://a.example.com, https://b.example.com")
    monkeypatch.setenv("HANDSTAMP_GROUPS", "")
    settings = Settings.read({"URL": None})
    assert (settings.url, settings.public_url) == ("http://handstamp:8080", "https://example.com")
    assert (settings.origins, settings.groups) == (("https://a.example.com", "https://b.example.com"), ())
    assert Settings.read({"ORIGINS": ["https://c.example.com"]}).origins == ("https://c.example.com",)


def test_a_setting_that_does_not_exist_is_refused(monkeypatch):
    with pytest.raises(SettingsError, match="HANDSTAMP_GROUP"):
        Settings.read({"URL": "http://a", "GROUP": "staff"})
    monkeypatch.setenv("HANDSTAMP_GROUP", "staff")
    with pytest.raises(SettingsError, match="HANDSTAMP_GROUP"):
        Settings.read({"URL": "http://a"})


def test_a_page_may_be_stored_only_if_the_app_says_private():
    for given, expected in ((None, "no-store"), ("no-cache", "no-store"), ("public, max-age=60", "no-store")):
        assert web.cache_control(given) == expected
    for given in ("private, max-age=60", "no-store, max-age=0", "Private"):
        assert web.cache_control(given) == given
    assert [web.vary(given) for given in (None, "Accept", "cookie", "*")] == ["Cookie", "Accept, Cookie", "cookie", "*"]


def test_a_user_is_equal_by_what_it_says():
    assert User("a", claims={"x": 1}) == User("a")
    assert logging.getLogger("handstamp").level == logging.NOTSET
