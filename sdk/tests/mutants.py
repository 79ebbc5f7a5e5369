"""Applies small changes to the packages for apps, and checks that a test fails for each: python mutants.py [PATTERN]

script/test-sdk --matrix runs it. Each mutant names the tests that catch it, by an expression for `pytest -k`, and the app.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PYTHON = TESTS.parent / "python/src/handstamp"
MODULES = Path(os.environ.get("SDK_NODE_MODULES", TESTS / "node-newest/node_modules"))

# The file, the text and what replaces it, the tests, and the app.
MUTANTS = [
    ("verifier.py", "options=options", 'options={**options, "verify_signature": False}', "forged_identities", "flask"),
    ("verifier.py", "LEEWAY = 30", "LEEWAY = 300", "clock_may_differ_by_half", ""),
    ("verifier.py", "LEEWAY = 30", "LEEWAY = 0", "clock_may_differ_by_half", ""),
    ("verifier.py", 'self._check_configuration(claims["aud"], claims["iss"])', "", "another_audience", ""),
    (
        "verifier.py",
        "audience not in settings.origins",
        "not str(audience).startswith(settings.origins)",
        "another_audience",
        "",
    ),
    ("verifier.py", "issuer != settings.public_url", "False", "another_audience", ""),
    ("verifier.py", "self._check_groups(user)", "", "groups_that_the_proxy", ""),
    (
        "verifier.py",
        "(self.settings.groups or None, user.required_groups)",
        "(self.settings.groups or None,)",
        "groups_that",
        "",
    ),
    ("verifier.py", "(self.settings.groups or None, user.required_groups)", "(user.required_groups,)", "groups_that", ""),
    ("verifier.py", "if len(headers) > 1:", "if False:", "several_assertions", ""),
    ("verifier.py", '_REQUIRED = ["aud", "exp", "iat", "iss", "sid", "sub"]', "_REQUIRED: list[str] = []", "each_claim", ""),
    ("keys.py", "if now - self._unknown_at < UNKNOWN_KEY_INTERVAL:", "if False:", "new_key_is_fetched", ""),
    ("keys.py", "self._age() < LIFETIME", "self._age() < 10 * LIFETIME", "fetched_once", ""),
    ("keys.py", "if now - self._failed_at >= RETRY_INTERVAL:", "if True:", "malformed_set", ""),
    ("keys.py", "raise KeysUnavailableError(self._failure)", "return", "malformed_set", ""),
    ("user.py", "return self.email if self.email_verified else None", "return self.email", "all_claims", ""),
    ("web.py", 'else "no-store"', 'else existing or "no-store"', "stored_only_if", ""),
    (
        "flask.py",
        "            session.clear()\n\n\ndef _finish",
        "            pass\n\n\ndef _finish",
        "session_of_the_framework",
        "flask",
    ),
    ("flask.py", "session[web.SESSION_KEY] = user.session_id", "pass", "session_of_the_framework", "flask"),
    ("flask.py", "if state.is_looked_at:", "if False:", "not_stored", "flask"),
    (
        "flask.py",
        "if user is None:\n                return _to_page(",
        "if False:\n                return _to_page(",
        "signs_in",
        "flask",
    ),
    ("flask.py", "if groups and not user.is_in(*groups):", "if False:", "rights_follow", "flask"),
    ("flask.py", "if origin is None:", "if False:", "address_of_the_app", "flask"),
    ("flask.py", "flask.request.environ", "flask.g.__dict__", "two_requests_in_one_context", ""),
    ("starlette.py", "session.clear()", "pass", "session_of_the_framework", "fastapi"),
    ("starlette.py", "if state.is_looked_at:", "if False:", "not_stored", "starlette"),
    ("starlette.py", "if verifier.needs_no_fetch(headers):", "if True:", "event_loop", ""),
    ("fastapi.py", "if user is None:", "if False:", "websocket", "fastapi"),
    ("fastapi.py", "if not user.is_in(*groups):", "if False:", "signs_in_by", ""),
    ("django/middleware.py", "session.flush()", "pass", "session_of_the_framework", "django"),
    ("django/middleware.py", "auth.logout(request)", "pass", "session_of_the_framework", "django"),
    ("django/middleware.py", "_has_session(request) and web.SESSION_KEY in request.session", "True", "by_a_test_stays", ""),
    ("django/middleware.py", "raise NotInGroupError", "return None; raise NotInGroupError", "makes_no_users", ""),
    ("django/middleware.py", 'getattr(request, "_handstamp_is_looked_at", False)', "False", "not_stored", "django"),
    ("django/backend.py", "handstamp_user.verified_email", "handstamp_user.email", "verified_address_only", ""),
    ("django/backend.py", '"email" in links and', "", "unless_the_project", ""),
    ("django/backend.py", '"legacy_id" in links and', "", "by_default", ""),
    ("django/backend.py", ".filter(handstamp_identity=None)", "", "verified_address_only", ""),
    ("django/backend.py", "found[0] if len(found) == 1 else None", "found[0] if found else None", "of_two_rows", ""),
    ("django/backend.py", "_DOCTOR_ID if handstamp_user.is_doctor else ", "", "doctor_leaves", ""),
    ("django/backend.py", "and self.user_can_authenticate(user)", "", "inactive", ""),
    ("django/backend.py", "handstamp_user.verified_email", "handstamp_user.email", "unverified_address", ""),
    (
        "django/rest.py",
        "SessionAuthentication):",
        "SessionAuthentication):\n    def enforce_csrf(self, request): pass\n",
        "rest_fr",
        "",
    ),
    ("express.js", "if (isLookedAt) {", "if (false) {", "not_stored", "express"),
    ("express.js", "await bindSession(request, user);", "", "session_of_the_framework", "express"),
    ("user.py", "return self.assurance >= level", "return True", "require_an_assurance", ""),
    ("web.py", "if level not in LEVELS:", "if False:", "require_an_assurance", ""),
    ("flask.py", "None if user.has_assurance(level) else", "None if True else", "too_weak", "flask"),
    ("fastapi.py", "if not user.has_assurance(level):", "if False:", "too_weak", "fastapi"),
    ("starlette.py", "for level in web.LEVELS if level <= assurance", "for level in web.LEVELS", "scopes_name", ""),
    ("django/decorators.py", "if user.has_assurance(level):", "if True:", "too_weak", "django"),
    ("django/decorators.py", "if user is None:", "if False:", "require_an_assurance", ""),
    ("web.js", "if (groups.length > 0 && !isIn(user, groups)) {", "if (false) {", "rights_follow", "express"),
    ("web.js", "if (level && !hasAssurance(user, level)) {", "if (false) {", "too_weak", "fastify"),
    ("user.js", "return user.assurance >= level;", "return true;", "too_weak", "express"),
    ("user.py", "assurance=1 if acr is None else int(acr)", "assurance=3", "too_weak", "flask"),
    ("web.py", '{"assurance": assurance, "next": next_path}', '{"next": next_path}', "too_weak", "flask"),
    ("user.js", "const level = Number(value);", "const level = 3;", "too_weak", "express"),
    ("web.js", 'level ? `assurance=${level}` : ""', '""', "too_weak", "express"),
    ("fastify.js", "if (states.get(request)?.isLookedAt) {", "if (false) {", "not_stored", "fastify"),
    ("fastify.js", "await bindSession(request, state.user);", "", "session_of_the_framework", "fastify"),
    ("web.js", "await clear(holder);", "", "session_of_the_framework", "express-cookie"),
    ("web.js", "holder.session.handstampSessionId = user.sessionId;", "", "session_of_the_framework", "express"),
    ("web.js", "if (!origin) {", "if (false) {", "address_of_the_app", "express"),
    ("verifier.js", "clockTolerance: TOLERANCE,", "clockTolerance: 300,", "clock_may", "express"),
    ("verifier.js", "this.#checkConfiguration(claims);", "", "one_line", "express"),
    ("verifier.js", "if (groups && !isIn(user, groups)) {", "if (false) {", "app_for_groups", "express"),
    ("verifier.js", "if (isAboutKeys(error)) {", "if (false) {", "cannot_be_fetched", "express"),
]


def with_mutant(folder, file, before, after):
    """Makes a copy of a package with one change, and returns the variables by which the tests use it."""
    if file.endswith(".py"):
        copy = folder / "handstamp"
        shutil.copytree(PYTHON, copy)
        changed, variables = copy / file, {"PYTHONPATH": str(folder)}
    else:
        modules = folder / "node_modules"
        modules.mkdir()
        for each in MODULES.iterdir():
            if each.name != "handstamp":
                (modules / each.name).symlink_to(each)
        shutil.copytree(MODULES / "handstamp", modules / "handstamp")
        changed, variables = modules / "handstamp/dist" / file, {"SDK_NODE_MODULES": str(modules)}
    text = changed.read_text()
    assert before in text, f"{file} has no {before!r}"
    changed.write_text(text.replace(before, after))
    return variables


def failed_tests(variables, tests, app):
    # A mutant that needs no app is caught by a test of one package.
    files = (
        [] if app else [str(each) for each in TESTS.glob("test_*.py") if each.stem not in ("test_stories", "test_documents")]
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x", "-k", tests, *files]
    environment = {**os.environ, **variables, "SDK_APPS": app or "none"}
    done = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(done.stdout + done.stderr)
    return re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)


def main():
    pattern, survivors, killed = (sys.argv[1:] or [""])[0], [], 0
    for file, before, after, tests, app in MUTANTS:
        name = f"{file}: {before.strip()!r} -> {after.strip()!r}"
        if not re.search(pattern, name):
            continue
        with tempfile.TemporaryDirectory(prefix="handstamp-sdk-") as folder:
            failed = failed_tests(with_mutant(Path(folder), file, before, after), tests, app)
        killed += bool(failed)
        survivors += [] if failed else [name]
        print(f"{'killed by ' + failed[0] if failed else 'SURVIVED'}  {name}", flush=True)
    print(f"{killed} killed, {len(survivors)} survived")
    if survivors:
        sys.exit(1)


if __name__ == "__main__":
    main()
