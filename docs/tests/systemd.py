"""The check of the unit for systemd. No systemd is the first process here, so the process runs under the same restrictions."""

import os
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import visits

SITE = "https://id.example.com"
# 10 is no restriction at all. The page says it.
MOST_EXPOSURE = 1.7


def check(recipe):
    unit = recipe.source / "packaging/systemd/handstamp.service"
    shutil.copy(recipe.bin / "handstamp", recipe.folder / "handstamp")
    # The one that the page installs counts.
    (recipe.bin / "handstamp").unlink()
    recipe.program("systemctl", "exit 0\n")
    recipe.certificate("id.example.com")
    service = Path("/etc/systemd/system") / unit.name
    # The data folder is made by systemd.
    follow = [item for item in recipe.items() if "user list" not in item[2]]
    later = [item for item in recipe.items() if "user list" in item[2]]
    recipe.follow(part=follow)
    assert unit.read_text() == service.read_text(), f"the page does not have {unit.name} as it is"
    recipe.run(f"systemd-analyze verify {service}")
    rated = recipe.run(f"systemd-analyze security --offline=true --no-pager {service}")
    exposure = float(re.search(r"exposure level for handstamp.service: ([0-9.]+)", rated)[1])
    assert exposure <= MOST_EXPOSURE, rated
    assert f"{exposure} of 10" in recipe.page.read_text(), exposure

    settings = read(service)
    recipe.cut_network()
    start(recipe, settings)
    visitor = visits.visit(SITE, "/account")
    listed = "".join(recipe.run(command) for item in later for command in item[2].splitlines())
    assert visits.EMAIL in listed, listed
    state = os.stat("/var/lib/handstamp")
    assert oct(state.st_mode)[-4:] == settings["StateDirectoryMode"][0], oct(state.st_mode)
    moved = visits.Visitor("http://id.example.com").request("http://id.example.com/account")
    assert (moved.status, moved.headers["Location"]) == (308, f"{SITE}/account"), moved
    stop(recipe)
    start(recipe, settings)
    assert visits.greets(visitor.open("/account")), "a restart has ended a session"
    stop(recipe)
    forbidden = check_calls(recipe, settings)
    recipe.tested("systemd", recipe.run("systemd-analyze --version").split()[1])
    recipe.remarks.append(f"exposure {exposure}, none of {forbidden} system calls refused")


def read(service):
    """The settings of a unit: each name has a list of values."""
    found = {}
    for line in service.read_text().splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def start(recipe, settings):
    """Starts the process as systemd does, with the restrictions that other tools have too, and lists its system calls."""
    user, folder = settings["User"][0], "/var/lib/" + settings["StateDirectory"][0]
    if not os.path.exists(folder):
        subprocess.run(["install", "-d", "-o", user, "-g", user, "-m", settings["StateDirectoryMode"][0], folder], check=True)
    assert settings["ProtectSystem"] == ["strict"] and settings["PrivateTmp"] == ["true"]
    mounts = [f"mount --bind {folder} {folder}", "mount -t tmpfs none /tmp", "mount -t tmpfs none /home"]
    mounts += [f"mount -o remount,bind,ro {path}" for path in ("/etc", "/usr", "/srv", "/var")]
    mounts += ["mount -o remount,bind,ro /", f"mount -t proc -o subset={settings['ProcSubset'][0]} proc /proc"]
    assert settings["AmbientCapabilities"] == settings["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE"]
    privileges = f"--reuid {user} --regid {settings['Group'][0]} --clear-groups --no-new-privs"
    privileges += " --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service"
    privileges += " --bounding-set=-all,+net_bind_service"
    environment = f"env -i PATH=/usr/local/bin:/usr/bin:/bin {' '.join(settings['Environment'])}"
    environment += " HANDSTAMP_HASHING__MEMORY_KIB=8 HANDSTAMP_HASHING__ITERATIONS=1"
    restricted = " && ".join(
        [
            *mounts,
            f"cd {settings['WorkingDirectory'][0]}",
            f"umask {settings['UMask'][0]}",
            # No more than this machine lets us have.
            f"ulimit -n {min(int(settings['LimitNOFILE'][0]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])}",
            f"exec setpriv {privileges} {environment} {settings['ExecStart'][0]}",
        ]
    )
    calls = recipe.folder / f"calls-{len(recipe.background)}"
    recipe.start(f"exec strace -f -qq -o {calls} unshare --mount bash -euc '{restricted}'")
    visits.ready(recipe, SITE, (80, 443))


def stop(recipe):
    """Sends the signal of systemctl stop to the process itself, which ends in time and well."""
    _, tracer, _ = recipe.background[-1]
    found = subprocess.run(["pgrep", "-f", "^handstamp serve"], capture_output=True, text=True).stdout.split()
    assert len(found) == 1, found
    os.kill(int(found[0]), signal.SIGTERM)
    began = time.monotonic()
    assert tracer.wait(30) == 0, recipe.output()
    assert time.monotonic() - began < 12


def calls_of(group):
    """The system calls of a group of systemd, such as `@system-service`."""
    shown = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    found = set()
    for line in shown.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            found |= calls_of(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def check_calls(recipe, settings):
    """Compares the calls of the process with those that the unit allows; returns how many there were."""
    allowed = set()
    for value in settings["SystemCallFilter"]:
        calls = set().union(*(calls_of(group) for group in value.removeprefix("~").split()))
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    families = set(settings["RestrictAddressFamilies"][0].split())
    seen = set()
    for file in recipe.folder.glob("calls-*"):
        is_ours = False
        for line in file.read_text(errors="replace").splitlines():
            call = re.match(r"\d+ +(\w+)\((.*)", line)
            if not call:
                continue
            name, arguments = call[1], call[2]
            if name == "execve" and '["handstamp", "serve"]' in arguments:
                # Systemd calls it before the filter is in force for what follows.
                is_ours = arguments.endswith("= 0") or is_ours
                continue
            if not is_ours:
                continue
            seen.add(name)
            assert name in allowed, f"the unit does not allow {line}"
            if name == "socket":
                assert arguments.split(",")[0] in families, line
            if name in ("mmap", "mprotect") and "PROT_EXEC" in arguments:
                # MemoryDenyWriteExecute: nothing is made executable after it could be written to.
                assert "PROT_WRITE" not in arguments and name != "mprotect", line
    assert {"socket", "bind", "openat", "fsync", "fdatasync"} & seen and len(seen) > 40, sorted(seen)
    return len(seen)
