"""The check of examples/monitoring: its rules, its dashboard, and the metrics that a running server has."""

import base64
import contextlib
import datetime
import hmac
import json
import re
import secrets
import socket
import time
import urllib.parse
import urllib.request

import visits
from recipe import ROOT

SITE = "https://app.example.com"
METRICS = "http://127.0.0.1:9100/metrics"
PROMETHEUS = "http://127.0.0.1:9090"
# An address on which no program listens.
ABSENT = "http://127.0.0.1:9"
# The rules that the traffic of the check sets off. One limit is low here.
EXPECTED = {"HandstampAttack", "HandstampConnectionsOfNetworkRefused", "HandstampConnectionsRefused"}

# The secret of the framework that the site has left.
FORMER_SECRET = secrets.token_hex(32)


def check(recipe):
    for file in ("prometheus.yml", "rules.yml", "rules_test.yml", "dashboard.json"):
        recipe.write(file, (recipe.source / "examples/monitoring" / file).read_text())
    recipe.run("promtool check config prometheus.yml")
    recipe.run("promtool test rules rules_test.yml")
    rules = (recipe.folder / "rules.yml").read_text()
    tests = (recipe.folder / "rules_test.yml").read_text()
    alerts = re.findall(r"- alert: (\w+)", rules)
    for alert in alerts:
        assert f'alertname="{alert}"' in tests, f"{alert} has no unit test"
    check_names(rules)
    dashboard = json.loads((recipe.folder / "dashboard.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    check_layout(dashboard["panels"])

    serve(recipe)
    start_prometheus(recipe)
    visits.visit(SITE)
    wait_for_scrapes()
    assert firing() == set(), f"rules fire on a healthy site: {firing()}"
    cause_trouble(recipe)
    check_metrics(rules, dashboard)
    wait_for_scrapes()
    for panel in panels:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "20s").replace("$instance", ".*")
            assert ask("query", query=query)["result"], f"the panel {panel['title']!r} is empty: {query}"
    assert firing() == EXPECTED, firing()
    recipe.check_processes()
    version = recipe.run("promtool --version 2>&1").split()[2].split("+")[0]
    recipe.versions.append(f"Prometheus {version}")
    recipe.remarks.append(f"{len(alerts)} rules, {len(panels)} panels")


def check_names(rules):
    """The descriptions name events, settings and jobs that there are."""
    reference = "".join(file.read_text() for file in (ROOT / "docs/src/reference").glob("*.md"))
    known = set(re.findall(r"[a-z_]+(?:\.[a-z_]+)*", reference))
    for text in re.findall(r"description: (.*)", rules):
        for name in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b|\b[a-z]+\.[a-z_]+\b", text):
            assert name in known, f"a rule names {name}, which is not in the reference"


def check_layout(panels):
    """No two panels have one id or one place."""
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24 and (x, y) not in taken, panel["title"]
                taken.add((x, y))


def serve(recipe):
    """Starts a server that has every metric: in front of an app, with TLS, mails, webhooks, former sessions, and a provider and a
    collector of traces that do not answer."""
    recipe.cut_network()
    recipe.certificate("app.example.com")
    recipe.start_app()
    until = datetime.date.today() + datetime.timedelta(days=14)
    settings = {
        "LISTEN": "0.0.0.0:443",
        "PUBLIC_URL": SITE,
        "APP__URL": "http://127.0.0.1:3000",
        "TLS__CERT_FILE": str(recipe.folder / "app.example.com.pem"),
        "TLS__KEY_FILE": str(recipe.folder / "app.example.com.key"),
        "METRICS__LISTEN": "127.0.0.1:9100",
        "MAIL__URL": f"file:{recipe.folder / 'mails'}",
        "MAIL__FROM": "accounts@example.com",
        "WEBHOOKS__URL": "http://127.0.0.1:3000/webhooks",
        "WEBHOOKS__SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "LEGACY__KIND": "flask",
        "LEGACY__SECRET": FORMER_SECRET,
        "LEGACY__UNTIL": until.isoformat(),
        "LIMITS__CONNECTIONS_PER_NETWORK": "20",
        "PROVIDERS__ACME__KIND": "oidc",
        "PROVIDERS__ACME__LABEL": "Acme",
        "PROVIDERS__ACME__ISSUER": ABSENT,
        "PROVIDERS__ACME__CLIENT_ID": "handstamp",
        "PROVIDERS__ACME__CLIENT_SECRET": secrets.token_hex(32),
        "TELEMETRY__OTLP": ABSENT,
    }
    (recipe.folder / "mails").mkdir(mode=0o700)
    recipe.start("exec handstamp serve", {f"HANDSTAMP_{name}": value for name, value in settings.items()})
    visits.ready(recipe, SITE, (3000, 443, 9100))


def start_prometheus(recipe):
    """Starts Prometheus with the files as they are, but faster."""
    config = (recipe.folder / "prometheus.yml").read_text()
    assert "scrape_interval: 15s" in config
    faster = "global: { evaluation_interval: 1s }\n" + config.replace("scrape_interval: 15s", "scrape_interval: 1s")
    recipe.write("faster.yml", faster)
    options = "--config.file=faster.yml --storage.tsdb.path=data --web.listen-address=127.0.0.1:9090"
    recipe.start(f"exec prometheus {options}")
    visits.ready(recipe, SITE, (9090,))


def ask(what, **query):
    url = f"{PROMETHEUS}/api/v1/{what}?{urllib.parse.urlencode(query)}"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        return json.load(answer)["data"]


def wait_for_scrapes():
    """Waits until rates have several values of now."""
    began = time.time()
    until = began + 60
    while True:
        found = ask("query", query=f'count_over_time(up{{job="handstamp"}}[{int(time.time() - began) + 1}s])')["result"]
        if found and int(found[0]["value"][1]) >= 8:
            return
        assert time.time() < until, "Prometheus does not scrape"
        time.sleep(0.5)


def firing():
    return {alert["labels"]["alertname"] for alert in ask("alerts")["alerts"] if alert["state"] == "firing"}


def cause_trouble(recipe):
    """Traffic of all kinds, which raises the counters that appear with their first increment."""
    visitor = visits.Visitor(SITE)
    old = visitor.open("/", headers={"Cookie": f"session={flask_cookie()}"})
    assert old.path == "/account/login", old
    for number in range(25):
        visitor.open("/account/login", {"email": f"user{number}@example.com", "password": "one-password-for-all"})
    user = visits.Visitor(SITE)
    fields = {"email": visits.EMAIL, "password": visits.PASSWORD, "next": "/"}
    assert visits.greets(user.open("/account/login", fields))
    for path in ("/fail", "/slow", "/"):
        user.open(path)
    visits.Visitor(SITE).open("/account/with/acme")
    with contextlib.ExitStack() as held:
        for _ in range(30):
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_connection(("127.0.0.1", 443), timeout=5))
        time.sleep(0.5)
    recipe.run("sleep 1")


def flask_cookie():
    """A session of Flask, of a user that was not imported."""

    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    signed = part(b'{"_user_id":"42"}') + b"." + part(int(time.time()).to_bytes(4, "big"))
    key = hmac.digest(FORMER_SECRET.encode(), b"cookie-session", "sha1")
    return (signed + b"." + part(hmac.digest(key, signed, "sha1"))).decode()


def check_metrics(rules, dashboard):
    """Each metric of the files exists, with each label by which they select."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(METRICS, timeout=30) as answer:
        text = answer.read().decode()
    known = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    labels = {}
    for name, pairs in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.MULTILINE):
        labels.setdefault(re.sub("_(bucket|sum|count)$", "", name), set()).update(re.findall(r'(\w+)="', pairs))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    used = set()
    for source in (*queries, rules):
        for name, selector in re.findall(r"\b(handstamp_[a-z_]+)(\{[^}]*\})?", source):
            name = name.removesuffix("_bucket")
            used.add(name)
            assert name in known, f"there is no metric {name}"
            selected = set(re.findall(r"(\w+)[!=]~?=?", selector)) - {"instance"}
            assert selected <= labels[name], f"{name} has no label {selected - labels[name]}"
    shown = set(re.findall(r"handstamp_[a-z_]+", "".join(queries)))
    missing = known - {name.removesuffix("_bucket") for name in shown}
    assert not missing, f"the dashboard does not show {missing}"
