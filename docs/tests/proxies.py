"""The checks of the proxies, each with TLS in front of an app that trusts the headers."""

import re
from pathlib import Path

import visits

SITE = "https://app.example.com"
# The lines of what `proxy-config` prints that a page replaces, since it has a certificate or is one file of several.
REPLACED = {
    "caddy": ["auto_https off", "http://:443 {", "bind 0.0.0.0"],
    "envoy": ["- filters:"],
    "nginx": [
        "worker_processes auto;",
        "daemon off;",
        "error_log stderr;",
        "pid nginx.pid;",
        "events {}",
        "http {",
        "access_log off;",
        "client_body_temp_path nginx-temp;",
        "proxy_temp_path nginx-temp;",
        "fastcgi_temp_path nginx-temp;",
        "uwsgi_temp_path nginx-temp;",
        "scgi_temp_path nginx-temp;",
        "listen 0.0.0.0:443;",
    ],
    "traefik": [
        "entryPoints: [web]",
        "rule: (Host(`app.example.com`)) && (Path(`/account`) || PathPrefix(`/account/`) "
        "|| Path(`/.well-known/change-password`))",
        "rule: (Host(`app.example.com`)) && PathPrefix(`/`)",
        "- handstamp_session_443",
    ],
}


def proxy(name, version):
    def check(recipe):
        recipe.cut_network()
        recipe.certificate("app.example.com")
        live = Path("/etc/letsencrypt/live/app.example.com")
        live.mkdir(parents=True)
        recipe.run(f"cp app.example.com.pem {live}/fullchain.pem && cp app.example.com.key {live}/privkey.pem")
        recipe.start_app()
        # No systemd is the first process here.
        recipe.program("systemctl", '[ "$2" != nginx ] || exec nginx\n')
        check_file(recipe, name)
        items = recipe.items()
        if name == "caddy":
            items = with_local_authority(recipe, items)
        recipe.follow(SITE, (3000, 80, 443), part=items)
        visitor = visits.visit(SITE, "/")
        moved = visitor.request("http://app.example.com/path?query")
        assert moved.status in (301, 302, 307, 308) and moved.headers["Location"] == f"{SITE}/path?query", moved
        recipe.check_processes()
        recipe.remarks.append("handstamp doctor finds nothing")
        recipe.tested(name if name == "nginx" else name.capitalize(), version(recipe))

    return check


def check_file(recipe, name):
    """The file of the page has each line that `proxy-config` prints for the same site."""
    printed = recipe.run(f"handstamp proxy-config {name} --listen 0.0.0.0:443 --app 127.0.0.1:3000 --host app.example.com")
    page = {line.strip() for line in recipe.page.read_text().splitlines()}
    lines = [line.strip() for line in printed.splitlines() if line.strip() and not line.strip().startswith("#")]
    missing = [line for line in lines if line not in page and line not in REPLACED[name]]
    assert not missing, f"the page does not have what proxy-config prints: {missing}"


def with_local_authority(recipe, items):
    """Caddy asks an authority of its own in place of Let's Encrypt, which is not there."""
    changed = []
    for kind, name, text in items:
        if name == "Caddyfile":
            assert text.count("\tadmin off\n") == 1
            text = text.replace("\tadmin off\n", "\tadmin off\n\tlocal_certs\n\tskip_install_trust\n")
        if kind == "run":
            before, after = text.rsplit("handstamp doctor", 1)
            trust = "cat $HOME/.local/share/caddy/pki/authorities/local/root.crt >> /etc/ssl/certs/ca-certificates.crt"
            wait = "while ! [ -e $HOME/.local/share/caddy/pki/authorities/local/root.crt ]; do sleep 0.1; done"
            changed.append((kind, name, before))
            changed += [("trust", None, wait), ("trust", None, trust)]
            changed.append((kind, name, f"handstamp doctor{after}"))
            continue
        changed.append((kind, name, text))
    return changed


CHECKS = {
    "caddy": proxy("caddy", lambda recipe: recipe.run("caddy version").split()[0].lstrip("v")),
    "envoy": proxy("envoy", lambda recipe: re.search(r"/(\d+\.\d+\.\d+)/", recipe.run("envoy --version"))[1]),
    "nginx": proxy("nginx", lambda recipe: recipe.run("nginx -v 2>&1").split("/")[1].split()[0]),
    "traefik": proxy("traefik", lambda recipe: recipe.run("traefik version").split()[1]),
}
