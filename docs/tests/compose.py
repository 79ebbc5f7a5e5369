"""The check of the Compose file: a linter, and the programs with the settings, secrets and rights that it gives them."""

import json
import os
import subprocess
from pathlib import Path

import visits
from recipe import TOOLS

SITE = "https://app.example.com"


def check(recipe):
    recipe.cut_network()
    # Docker does this for the network of each container, so that any user may listen on port 443.
    Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
    recipe.certificate("app.example.com")
    recipe.run("cp app.example.com.pem fullchain.pem && cp app.example.com.key privkey.pem")
    with open("/etc/hosts", "a") as hosts:
        hosts.write("127.0.0.1 app database\n")
    recipe.program("docker", "exit 0\n")
    recipe.follow()
    recipe.run("dclint --max-warnings 0 compose.yaml")
    as_json = "import json, yaml; print(json.dumps(yaml.safe_load(open('compose.yaml'))))"
    compose = json.loads(recipe.run(f'{TOOLS}/bin/python -c "{as_json}"'))
    services = compose["services"]
    check_rights(services)
    place_secrets(recipe, compose)
    start_database(recipe, services["database"])
    recipe.start_app()
    start(recipe, services["handstamp"])
    visitor = visits.visit(SITE)
    moved = visitor.request("http://app.example.com/")
    assert (moved.status, moved.headers["Location"]) == (308, f"{SITE}/"), moved
    stop(recipe)
    start(recipe, services["handstamp"])
    assert visits.greets(visitor.open("/")), "a restart has ended a session"
    # The app gets the keys by the name that leads to Handstamp.
    keys = visits.Visitor(SITE).open(services["app"]["environment"]["HANDSTAMP_URL"] + "/account/jwks.json")
    assert keys.status == 200 and "Ed25519" in keys.text, keys
    recipe.tested("PostgreSQL", recipe.run("psql --version").split()[2].split(".")[0])
    recipe.tested("dclint", recipe.run("dclint --version").split()[-1])


def check_rights(services):
    assert not any("privileged" in service or "cap_add" in service for service in services.values())
    assert [name for name, service in services.items() if "ports" in service] == ["handstamp"], "another port is published"
    assert services["handstamp"]["cap_drop"] == ["ALL"] and services["handstamp"]["read_only"] is True
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or name.endswith("_FILE"), f"{name} is not in a file: {value}"


def place_secrets(recipe, compose):
    """Shows the secrets where Compose shows them, with their owners and modes."""
    Path("/run/secrets").mkdir()
    for name, secret in compose["secrets"].items():
        file = recipe.folder / secret["file"]
        status = file.stat()
        assert (status.st_mode & 0o777, status.st_uid) == (0o600, 1000), f"{name}: {oct(status.st_mode)} of {status.st_uid}"
        subprocess.run(["cp", "--preserve", file, f"/run/secrets/{name}"], check=True)


def start_database(recipe, service):
    """Starts PostgreSQL with the user, the database and the password of the file, as its image does."""
    settings = service["environment"]
    folder = Path("/var/lib/recipe")
    folder.mkdir()
    # The image reads the password as root.
    password = Path(settings["POSTGRES_PASSWORD_FILE"]).read_text()
    (folder / "password").write_text(password)
    subprocess.run(["chown", "-R", "postgres", folder], check=True)
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    as_postgres = f"cd {folder} && exec runuser -u postgres -- {programs}"
    user = settings["POSTGRES_USER"]
    recipe.run(f"{as_postgres}/initdb --auth=scram-sha-256 --username={user} --pwfile=password -D data")
    recipe.start(f"{as_postgres}/postgres -D data -k {folder} -c listen_addresses=127.0.0.1")
    ready = " ".join(service["healthcheck"]["test"][1:])
    recipe.run(f"for _ in $(seq 300); do {ready} --host=127.0.0.1 && break || sleep 0.1; done")
    make = f"createdb --host=127.0.0.1 --username={user} {settings['POSTGRES_DB']}"
    recipe.run(f"PGPASSWORD={password.strip()} {make}")


def start(recipe, service):
    """Starts Handstamp with what the file gives it and nothing else: user, rights, file system, environment."""
    user, group = service["user"].split(":")
    environment = "".join(f" {name}={value}" for name, value in service["environment"].items())
    faster = "HANDSTAMP_HASHING__MEMORY_KIB=8 HANDSTAMP_HASHING__ITERATIONS=1"
    read_only = " && ".join(
        f"mount -o remount,bind,ro {path}" for path in ("/etc", "/run", "/usr", "/srv", "/var", "/tmp", "/")
    )
    rights = f"setpriv --reuid {user} --regid {group} --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all"
    program = " ".join([*service["entrypoint"], *service["command"]])
    environment = f"env -i PATH={recipe.bin}:/usr/bin:/bin{environment} {faster}"
    recipe.start(
        f"exec unshare --mount bash -euc 'mount --bind /tmp /tmp && {read_only} && cd / && "
        f"ulimit -n {min(service['ulimits']['nofile'], os.sysconf('SC_OPEN_MAX'))} && exec {rights} {environment} {program}'"
    )
    visits.ready(recipe, SITE, (3000, 80, 443))
    kind, *check = service["healthcheck"]["test"]
    assert kind == "CMD"
    says = recipe.run(f"cd / && {rights} {environment} {' '.join(check)}")
    assert says == "ready\n", says


def stop(recipe):
    _, process, _ = recipe.background[-1]
    process.terminate()
    assert process.wait(30) == 0, recipe.output()
