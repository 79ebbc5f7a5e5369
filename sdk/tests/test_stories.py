"""What every package promises, in every framework: real apps behind a real Handstamp."""

import base64
import contextlib
import hmac
import json
import sqlite3
import subprocess
import time
from hashlib import pbkdf2_hmac, sha256
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from running import HANDSTAMP, PASSWORD, Process, app_command, free_address, inherited

HEADER = "Handstamp-Assertion"


def around(site, path, assertion=None, address=None, **headers):
    """A request to the app that bypasses the proxy, by the host of the site."""
    if assertion is not None:
        headers[HEADER] = assertion
    headers = {"Host": site.url.split("://")[1], "Remote-User": "ada", **headers}
    return httpx.get(f"http://{address or site.app_address}{path}", headers=headers, trust_env=False)


def anonymous(site):
    """The status of a page for users, for a script that is anonymous: login_required of Django always redirects."""
    return 302 if site.name.startswith("django") else 401


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_an_anonymous_user_reads_public_pages_and_is_led_to_the_sign_in_page(site):
    visitor = site.visitor()
    assert visitor.navigate("/public").json()["name"] is None
    assert visitor.fetch("/me").status_code == anonymous(site)
    page = visitor.navigate("/me?a=1&b=%2F")
    assert page.status_code in (302, 303)
    location = httpx.URL(page.headers["Location"])
    assert (location.path, location.params["next"]) == ("/account/login", "/me?a=1&b=%2F")
    assert "no-store" in page.headers["Cache-Control"]


def test_a_form_without_a_session_leads_back_to_the_page_of_the_form(site):
    if site.name.startswith("django"):
        pytest.skip("login_required of Django decides")
    visitor = site.visitor()
    for referrer, expected in ((f"{site.url}/public?a=1", "/public?a=1"), ("http://evil.example/x", "/"), (None, "/")):
        headers = {"Referer": referrer} if referrer else {}
        page = visitor.navigate("/form", "POST", headers=headers)
        assert page.status_code == 303
        assert httpx.URL(page.headers["Location"]).params["next"] == expected


def test_a_user_signs_in_and_out(site, email):
    visitor = site.visitor()
    answer = visitor.register(email, "Zoë <b>", next_path="/me")
    assert answer.headers["Location"] == "/me"
    user = visitor.navigate("/me").json()
    assert (user["name"], user["email"], user["groups"]) == ("Zoë <b>", None, [])
    assert visitor.fetch("/public").json()["name"] == "Zoë <b>"
    assert visitor.navigate("/form", "POST").text.strip('"') == "sent"
    # The address is there once it is verified.
    site.front.run("user", "verify", email)
    assert visitor.navigate("/me").json()["email"] == email

    copied = visitor.copy()
    visitor.sign_out()
    for each in (visitor, copied):
        assert each.fetch("/me").status_code == anonymous(site)
        assert each.fetch("/public").json()["name"] is None


def test_an_imported_user_has_the_id_of_the_former_system(site, email, ada):
    """A new user has none."""
    assert ada.navigate("/me").json()["old"] is None
    old, other = f"old-{email}", f"imported-{email}"
    made = pbkdf2_hmac("sha256", PASSWORD.encode(), b"salt", 1000).hex()
    row = {"email": other, "name": "Bob", "legacy_id": old, "password_hash": f"pbkdf2:sha256:1000$salt${made}"}
    (site.front.folder / "users.jsonl").write_text(json.dumps(row) + "\n")
    site.front.run("import", "users.jsonl")
    visitor = site.visitor()
    visitor.sign_in(other)
    answer = visitor.navigate("/me").json()
    assert (answer["name"], answer["old"]) == ("Bob", old)


def test_an_app_may_put_an_object_of_its_own_in_place_of_the_user(sites, email):
    """As passport does, whose property this is."""
    visitor = sites("express").visitor()
    visitor.register(email, "Ada")
    answer = visitor.fetch("/own")
    assert (answer.json(), answer.headers["Cache-Control"]) == ({"name": "the row of Ada"}, "no-store")


def test_another_sign_in_is_the_same_user_in_another_session(site, ada):
    first = ada.navigate("/me").json()
    ada.sign_out()
    ada.sign_in(ada.email)
    second = ada.navigate("/me").json()
    assert first["id"] == second["id"]
    assert first["session"] != second["session"]


def test_only_responses_that_depend_on_the_user_are_not_stored(site, ada):
    for visitor in (ada, site.visitor()):
        for path in ("/public", "/me"):
            headers = visitor.fetch(path).headers
            assert headers["Cache-Control"] == "no-store"
            if path == "/public":
                assert "cookie" in headers["Vary"].lower()
        assert "no-store" not in visitor.fetch("/plain").headers.get("Cache-Control", "")


def test_forged_identities_are_refused(site, ada, sites, email):
    good = site.front.assertion_of(ada)
    assert around(site, "/me", good).status_code == 200
    header, claims, signature = good.split(".")
    read = json.loads(base64.urlsafe_b64decode(claims + "=="))
    key_id = jwt.get_unverified_header(good)["kid"]
    jwks = httpx.get(f"{site.url}/account/jwks.json", trust_env=False).json()
    public = base64.urlsafe_b64decode(jwks["keys"][0]["x"] + "=")
    by_the_public_key = f"{part({'alg': 'HS256', 'kid': key_id})}.{claims}"
    mac = hmac.new(public, by_the_public_key.encode(), sha256).digest()
    other_key = Ed25519PrivateKey.generate()
    forged = {
        "garbage": "garbage",
        "empty parts": "..",
        "other claims": f"{header}.{part({**read, 'name': 'Eve'})}.{signature}",
        "no signature": f"{part({'alg': 'none', 'kid': key_id})}.{claims}.",
        "HS256 with the public key": f"{by_the_public_key}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        "another key with this id": jwt.encode(read, other_key, "EdDSA", {"kid": key_id}),
        "another key": jwt.encode(read, other_key, "EdDSA", {"kid": "other"}),
        "no key id": jwt.encode(read, other_key, "EdDSA"),
        "two assertions": f"{good}, {good}",
    }
    for reason, assertion in forged.items():
        for path in ("/me", "/public"):
            answer = around(site, path, assertion)
            assert (reason, answer.status_code) == (reason, 401)
    # The plain headers alone say nothing.
    assert around(site, "/me").status_code != 200
    assert around(site, "/public").json()["name"] is None


def test_an_identity_header_of_a_client_does_not_pass_the_proxy(site, ada):
    good = site.front.assertion_of(ada)
    headers = {HEADER: good, "Handstamp_Assertion": good, "Remote-User": "ada"}
    assert site.visitor().fetch("/public", headers=headers).json()["name"] is None


def test_the_key_of_another_site_is_refused(main_site, ada, folder, email):
    """A second Handstamp with the same public URL, which signs by a key of its own."""
    path = folder / f"other-{email}"
    path.mkdir()
    address = free_address()
    environment = {**main_site.front.environment, "HANDSTAMP_DATA_DIR": str(path / "data"), "HANDSTAMP_LISTEN": address}
    process = Process(path, "handstamp", [HANDSTAMP, "serve"], environment, listen=address)
    try:
        host = {"Host": main_site.url.split("://")[1], "Origin": main_site.url}
        fields = {"name": "Eve", "email": email, "password": "plum-octave-harbour"}
        client = httpx.Client(base_url=f"http://{address}", trust_env=False)
        for _ in range(500):
            answer = client.post("/account/register", data=fields, headers=host)
            if answer.status_code == 303:
                break
            time.sleep(0.02)
        cookie = answer.headers["Set-Cookie"].split(";")[0]
        asked = {"X-Forwarded-Proto": "http", "X-Forwarded-Host": host["Host"], "Cookie": cookie}
        foreign = httpx.get(f"http://{address}/auth/forward", headers=asked, trust_env=False).headers[HEADER]
        assert jwt.decode(foreign, options={"verify_signature": False})["name"] == "Eve"
        assert around(main_site, "/me", foreign).status_code == 401
        assert around(main_site, "/me", main_site.front.assertion_of(ada)).status_code == 200
    finally:
        process.end()


def test_the_address_of_the_app_itself_says_which_address_to_open(site):
    answer = httpx.get(f"http://{site.app_address}/me", headers={"Accept": "text/html"}, trust_env=False)
    if site.name.startswith("django"):
        assert answer.status_code == 302
        return
    assert answer.status_code == 421
    assert f"Open {site.url}/me instead" in answer.text
    assert "    at " not in site.app.log(), "a stack says nothing more"


def test_an_assertion_for_another_address_is_an_error_of_configuration_with_one_line(site, ada):
    host = site.front.other_host
    other = site.front.assertion_of(ada, host)
    before = len(site.app.log())
    assert around(site, "/me", other).status_code == 500
    lines = [line for line in site.app.log()[before:].splitlines() if "the assertion is for" in line]
    assert len(lines) == 1
    assert f"the assertion is for http://{host}, but this app is at {site.url}" in lines[0]


def test_rights_follow_the_groups_of_handstamp_in_each_request(site, ada):
    refused = (403, 302)
    assert ada.fetch("/staff").status_code in refused
    site.front.run("user", "groups", ada.email, "--add", "staff")
    assert ada.fetch("/staff").status_code == 200
    site.front.run("user", "groups", ada.email, "--remove", "staff")
    assert ada.fetch("/staff").status_code in refused
    assert site.visitor().fetch("/staff").status_code != 200


def test_a_session_that_is_too_weak_is_led_to_another_factor(site, ada):
    page = ada.navigate("/payouts?a=1")
    assert page.status_code == 303
    location = httpx.URL(page.headers["Location"])
    assert (location.path, location.params["assurance"], location.params["next"]) == ("/account/confirm", "2", "/payouts?a=1")
    assert ada.fetch("/payouts").status_code == 403
    assert site.visitor().fetch("/payouts").status_code == anonymous(site)

    ada.sign_out()
    ada.sign_in(ada.email)
    # No node has read the session of the new sign-in.
    with contextlib.closing(sqlite3.connect(site.front.folder / "data/handstamp.db", timeout=20)) as database, database:
        user = "SELECT id FROM users WHERE email = ?"
        change = f"UPDATE sessions SET methods = 'pwd otp mfa', assurance = 2 WHERE user_id = ({user})"
        assert database.execute(change, (ada.email,)).rowcount == 1
    assert ada.fetch("/payouts").status_code == 200


def write_note(visitor, text):
    assert visitor.fetch("/note", "POST", data={"note": text}).status_code == 200
    assert visitor.fetch("/note").json() == {"note": text}


def test_the_session_of_the_framework_ends_with_that_of_handstamp(site, ada, email):
    write_note(ada, "of-ada")
    ada.sign_out()
    assert ada.fetch("/note").json() == {"note": None}, "after the sign-out"

    ada.sign_in(ada.email)
    assert ada.fetch("/note").json() == {"note": None}
    write_note(ada, "of-ada")
    # Another user in the same browser, without a request to the app in between.
    ada.sign_out()
    ada.register(f"bob-{email}", "Bob")
    assert ada.fetch("/note").json() == {"note": None}, "another user"
    write_note(ada, "of-bob")
    ada.sign_out()
    ada.sign_in(f"bob-{email}")
    assert ada.fetch("/note").json() == {"note": None}, "the same user in another session"


def test_an_anonymous_session_of_the_framework_survives_the_sign_in(site, ada):
    ada.sign_out()
    write_note(ada, "a-cart")
    ada.sign_in(ada.email)
    assert ada.fetch("/note").json() == {"note": "a-cart"}
    ada.sign_out()
    assert ada.fetch("/note").json() == {"note": None}


def test_links_lead_to_the_pages_of_handstamp(site):
    if site.name in ("fastapi", "starlette"):
        pytest.skip("it makes no links")
    links = site.visitor().fetch("/links").json()
    assert links["login"].startswith("/account/login")
    assert httpx.URL(links["login"]).params.get("next") in ("/me?a=1&b=2", None)
    assert links.get("account", "/account") == "/account"


def faketime():
    return str(next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")))


@pytest.mark.parametrize(("offset", "status"), [("-25s", 200), ("+120s", 401)])
def test_the_clock_may_differ_by_less_than_half_a_minute(main_site, ada, offset, status):
    address = free_address()
    environment = {"LD_PRELOAD": faketime(), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    app = main_site.start_app(address, **environment)
    try:
        assert around(main_site, "/me", main_site.front.assertion_of(ada), address).status_code == status
        assert (status == 200) or "clock" in app.log()
    finally:
        app.end()


def test_keys_that_cannot_be_fetched_are_a_fault_of_the_service(main_site, ada):
    nowhere = {"HANDSTAMP_URL": "http://127.0.0.1:1", "HANDSTAMP_PUBLIC_URL": main_site.url}
    address = free_address()
    app = main_site.start_app(address, **nowhere)
    try:
        assert around(main_site, "/me", main_site.front.assertion_of(ada), address).status_code == 503
        assert "http://127.0.0.1:1/account/jwks.json" in app.log()
        assert around(main_site, "/public", None, address).json()["name"] is None
    finally:
        app.end()


def test_an_app_for_groups_refuses_other_users(main_site, ada):
    address = free_address()
    app = main_site.start_app(address, HANDSTAMP_GROUPS="staff, admins")
    try:
        assert around(main_site, "/public", main_site.front.assertion_of(ada), address).status_code == 403
        main_site.front.run("user", "groups", ada.email, "--add", "admins")
        assert around(main_site, "/public", main_site.front.assertion_of(ada), address).status_code == 200
    finally:
        app.end()


WRONG = {
    "HANDSTAMP_URL is not set": {},
    "HANDSTAMP_ORIGINS is 'https://a.example/app'": {"HANDSTAMP_URL": "http://a", "HANDSTAMP_ORIGINS": "https://a.example/app"},
}


@pytest.mark.parametrize("message", WRONG)
def test_an_app_with_a_wrong_setting_does_not_start_and_says_why(main_site, message):
    command, environment = app_command(main_site.folder, main_site.name, {"LISTEN": free_address(), **WRONG[message]})
    done = subprocess.run(command, env={**inherited(), **environment}, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert message in done.stderr.replace('"', "'")


def test_an_app_on_another_host_leads_to_the_sign_in_page_of_handstamp(main_site):
    if main_site.name.startswith("django"):
        pytest.skip("LOGIN_URL of Django has the page, its login_required makes the URL")
    address = free_address()
    app = main_site.start_app(address, HANDSTAMP_ORIGINS=f"http://other.localhost, http://{address}")
    try:
        page = httpx.get(f"http://{address}/me?a=1", headers={"Sec-Fetch-Mode": "navigate"}, trust_env=False)
        assert page.status_code == 303
        location = httpx.URL(page.headers["Location"])
        assert str(location.copy_with(query=None)) == f"{main_site.url}/account/login"
        assert location.params["next"] == f"http://{address}/me?a=1"
    finally:
        app.end()


def test_many_first_requests_at_once_make_one_user(site, email):
    from concurrent.futures import ThreadPoolExecutor

    visitor = site.visitor()
    visitor.register(email)
    copies = [visitor.copy() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda copy: copy.fetch("/me"), copies))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.text for answer in answers}) == 1


def test_the_doctor_finds_nothing(site):
    printed = site.front.run(
        "doctor", f"{site.url}/public", "--app", f"http://{site.app_address}/public", "--access", "everybody"
    )
    assert "FAIL" not in printed, printed
