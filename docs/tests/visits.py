"""A visitor of an app behind Handstamp, as a browser is one; and an attacker."""

import base64
import copy
import hashlib
import hmac
import html
import http.client
import http.cookiejar
import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

PASSWORD = "plum-octave-harbour"
# A name that shows whether an app escapes it, and decodes what is not ASCII.
NAME = "Zoë <b>"
EMAIL = "zoe@example.com"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Answer:
    def __init__(self, response, url):
        self.status, self.headers, self.url = response.status, response.headers, url
        self.text = response.read().decode(errors="replace")

    @property
    def path(self):
        return urllib.parse.urlsplit(self.url).path

    def __str__(self):
        return f"{self.status} {self.url}\n{self.headers}\n{self.text}"


class Visitor:
    """A browser with cookies of its own."""

    def __init__(self, site):
        self.site = site
        self.cookies = http.cookiejar.CookieJar()

    def copy(self):
        """Another browser with the cookies of this one, as a thief has them."""
        other = Visitor(self.site)
        for cookie in self.cookies:
            other.cookies.set_cookie(copy.copy(cookie))
        return other

    def open(self, path, fields=None, headers=None):
        """Navigates to a page, or sends a form, and follows redirects."""
        url = urllib.parse.urljoin(self.site, path)
        data = None if fields is None else urllib.parse.urlencode(fields).encode()
        for _ in range(10):
            answer = self.request(url, data, headers)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            url, data = urllib.parse.urljoin(url, answer.headers["Location"]), None
        raise AssertionError(f"{path} is redirected in a circle")

    def request(self, url, data=None, headers=None):
        sent = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", **(headers or {})}
        if data is not None:
            sent["Origin"] = self.site
        tls = ssl.create_default_context(cafile="/etc/ssl/certs/ca-certificates.crt")
        handlers = [
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=tls),
            urllib.request.HTTPCookieProcessor(self.cookies),
            _NoRedirect(),
        ]
        try:
            response = urllib.request.build_opener(*handlers).open(urllib.request.Request(url, data, sent), timeout=30)
        except urllib.error.HTTPError as error:
            response = error
        return Answer(response, url)


def greets(answer):
    """Whether a page shows the name of the user, escaped."""
    return answer.status == 200 and NAME in html.unescape(answer.text) and NAME not in answer.text


def visit(site, path="/", home=None):
    """Walks through an app: a visitor, a user, and a visitor again. Returns the browser of a user who is signed in."""
    visitor = Visitor(site)
    if home:
        # A page for everybody.
        page = visitor.open(home)
        assert page.status == 200 and "/account/login" in page.text, page
    sign_in = visitor.open(path)
    assert (sign_in.path, sign_in.status) == ("/account/login", 200), sign_in
    forged = {
        "Remote-User": "eve",
        "Remote_User": "eve",
        "Remote-Name": "eve",
        "Remote-Groups": "staff",
        "Handstamp-Assertion": "eve",
        "X-Forwarded-For": "203.0.113.9",
    }
    refused = visitor.open(path, headers=forged)
    assert refused.path == "/account/login", refused
    fields = {"name": NAME, "email": EMAIL, "password": PASSWORD, "next": path}
    page = visitor.open("/account/register", fields)
    assert page.path == path and greets(page), page
    page = visitor.open(path, headers=forged)
    assert greets(page) and "eve" not in page.text, page
    assert "no-store" in page.headers["Cache-Control"], page
    copied = visitor.copy()
    out = visitor.open("/account/logout", {"next": path})
    for each in (out, visitor.open(path), copied.open(path)):
        assert each.path == "/account/login", each
    page = visitor.open("/account/login", {"email": EMAIL, "password": PASSWORD, "next": path})
    assert greets(page), page
    return visitor


def direct(address, path, headers):
    """The status and body of a request to the app itself, around Handstamp."""
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text


def _part(value):
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=").decode()


def _bytes(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _signed_by_another_key(folder, text):
    key, message = folder / "other.pem", folder / "message"
    message.write_text(text)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    sign = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", message]
    return _part(subprocess.run(sign, check=True, capture_output=True).stdout)


def forgeries(folder, good, key):
    """Assertions that an app must refuse, by name. `key` is the public key."""
    head, body, signature = good.split(".")
    header, claims = json.loads(_bytes(head)), json.loads(_bytes(body))
    other = _part({**claims, "name": "eve"})
    mac = hmac.new(key, f"{_part({**header, 'alg': 'HS256'})}.{body}".encode(), hashlib.sha256).digest()
    unknown = _part({**header, "kid": "unknown"})
    return {
        "no assertion": "",
        "no token": "eve",
        "empty parts": "..",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "other claims": f"{head}.{other}.{signature}",
        "no signature": f"{head}.{body}.",
        "algorithm none": f"{_part({**header, 'alg': 'none'})}.{body}.",
        "a MAC by the public key": f"{_part({**header, 'alg': 'HS256'})}.{body}.{_part(mac)}",
        "a list for a key id": f"{_part({**header, 'kid': ['x']})}.{body}.{signature}",
        "an unknown key": f"{unknown}.{body}.{_signed_by_another_key(folder, f'{unknown}.{body}')}",
        "another key under this id": f"{head}.{other}.{_signed_by_another_key(folder, f'{head}.{other}')}",
    }


def attack(recipe, visitor, app="127.0.0.1:3000", path="/", clocks=()):
    """Asks the app around Handstamp: only a right assertion is believed. Returns the number of those that were refused.

    `clocks` says how far the clocks are wrong of further instances of the app, which believe none.
    """
    site = visitor.site.split("://")[1]
    # A second process of the same site answers the question of a proxy, and so gives assertions away.
    node = "127.0.0.1:8089"
    recipe.start("exec handstamp serve", {"HANDSTAMP_LISTEN": node, "HANDSTAMP_PUBLIC_URL": visitor.site})
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies)
    question = {"X-Forwarded-Proto": visitor.site.split(":")[0], "X-Forwarded-Host": site, "Cookie": cookies}
    good = assertion(recipe, node, question)
    answered = direct(app, path, {"Host": site, "Handstamp-Assertion": good})
    assert answered[0] == 200 and NAME in html.unescape(answered[1]), answered
    jwks = json.loads(direct(node, "/auth/jwks.json", {"Host": site})[1])
    forged = forgeries(recipe.log.parent, good, _bytes(jwks["keys"][0]["x"]))
    for name, value in forged.items():
        headers = {"Host": site, "Remote-User": "eve", "Remote-Name": "eve", "Accept": "application/json"}
        status, text = direct(app, path, {**headers, "Handstamp-Assertion": value})
        assert status in (302, 303, 401) and "eve" not in text and NAME not in html.unescape(text), (name, status, text)
    # A right assertion for another app tells of a wrong configuration.
    host, port = site.split(":")
    elsewhere = assertion(recipe, node, {**question, "X-Forwarded-Host": f"{host}:{int(port) + 1}"})
    assert direct(app, path, {"Host": site, "Handstamp-Assertion": elsewhere})[0] == 500
    # The proxy required a group that this app is not for.
    subprocess.run(["handstamp", "user", "groups", EMAIL, "--add", "staff"], cwd=recipe.folder, check=True, capture_output=True)
    required = assertion(recipe, node, question, "?group=staff")
    assert direct(app, path, {"Host": site, "Handstamp-Assertion": required})[0] == 200
    for port, clock in enumerate(clocks, 3001):
        recipe.start_again(port, clock)
        for _ in range(500):
            try:
                status, text = direct(f"127.0.0.1:{port}", path, {"Host": site, "Handstamp-Assertion": good})
                break
            except OSError:
                recipe.check_processes()
                time.sleep(0.05)
        assert status == 401, (clock, status, text)
    return len(forged) + 1 + len(clocks)


def assertion(recipe, node, question, query=""):
    for _ in range(500):
        try:
            connection = http.client.HTTPConnection(node, timeout=30)
            connection.request("GET", f"/auth/forward{query}", headers=question)
            answer = connection.getresponse()
            if answer.status == 200 and answer.headers["Handstamp-Assertion"]:
                return answer.headers["Handstamp-Assertion"]
        except OSError:
            recipe.check_processes()
        # The process has just started.
        time.sleep(0.02)
    raise AssertionError("the second process gives no assertion")


def ready(recipe, site, ports):
    """Waits until the processes of a recipe listen, and the account pages are there."""
    until = time.monotonic() + 60
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                recipe.check_processes()
                assert time.monotonic() < until, f"nothing listens on port {port}"
                time.sleep(0.05)
    while True:
        try:
            answer = Visitor(site).open("/account/login")
            if answer.status == 200:
                return
        except OSError as error:
            answer = error
        recipe.check_processes()
        assert time.monotonic() < until, answer
        time.sleep(0.05)
