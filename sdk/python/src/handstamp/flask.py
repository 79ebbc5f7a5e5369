"""Users of Handstamp in Flask.

handstamp = Handstamp(app)

@app.get("/favourites")
@login_required
def favourites():
    return f"Hello, {current_user.name}"
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import quote

import flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.local import LocalProxy
from werkzeug.wrappers import Response

from handstamp import web
from handstamp.errors import HandstampError
from handstamp.settings import Settings
from handstamp.testing import assertion_for
from handstamp.user import AnonymousUser, User
from handstamp.verifier import HEADER, Verifier

P = ParamSpec("P")
R = TypeVar("R")
Loader = Callable[[User], Any]
_STATE = "handstamp.state"


class Handstamp:
    """The extension. Its settings `HANDSTAMP_…` are read from `app.config` and from the environment."""

    def __init__(self, app: flask.Flask | None = None) -> None:
        """Without an app, call `init_app` later."""
        self._loader: Loader | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Read the settings and install the extension, or raise a `SettingsError`."""
        verifier = Verifier(Settings.read(_given(app.config)))
        app.extensions["handstamp"] = _Installed(self, verifier)
        app.before_request(_clear_session_of_others)
        app.after_request(_finish)
        app.context_processor(lambda: {"current_user": current_user})
        app.url_build_error_handlers.append(_build_url)

    @property
    def verifier(self) -> Verifier:
        """The verifier of the current app."""
        return _installed().verifier

    def user_loader(self, loader: Loader) -> Loader:
        """Register a function that returns the app's own object for a `User`, which becomes `current_user`.

        `None` means that the app has no account for this user, who is refused with 403.
        """
        self._loader = loader
        return loader

    def request_loader(self, _request: flask.Request) -> Any:
        """Return the user for `LoginManager.request_loader` of Flask-Login, or `None`."""
        return _state().loaded() if _state().user() else None


@dataclass
class _Installed:
    extension: Handstamp
    verifier: Verifier

    def load(self, user: User) -> Any:
        loader = self.extension._loader
        return loader(user) if loader else user


def _given(config: Mapping[str, Any]) -> dict[str, object]:
    prefix = "HANDSTAMP_"
    return {name.removeprefix(prefix): value for name, value in config.items() if name.startswith(prefix)}


def _installed() -> _Installed:
    try:
        return cast("_Installed", flask.current_app.extensions["handstamp"])
    except KeyError:
        raise RuntimeError("Handstamp(app) was not called for this app") from None


class _State:
    """The user of one request, verified when they are first looked at."""

    def __init__(self) -> None:
        self.is_looked_at = False
        self._result: User | HandstampError | None = None
        self._is_verified = False
        self._loaded: Any = None

    def identity(self) -> User | None:
        """Return the user without noting that the response depends on them."""
        if not self._is_verified:
            try:
                self._result = _installed().verifier.user_of(flask.request.headers.getlist(HEADER))
            except HandstampError as error:
                self._result = error
            self._is_verified = True
        if isinstance(self._result, HandstampError):
            raise _refusal(self._result.status, str(self._result))
        return self._result

    def user(self) -> User | None:
        self.is_looked_at = True
        return self.identity()

    def loaded(self) -> Any:
        user = self.user()
        if user is None:
            return AnonymousUser()
        if self._loaded is None:
            self._loaded = _installed().load(user)
        if self._loaded is None:
            raise _refusal(403, "You have no account in this app.")
        return self._loaded


def _state() -> _State:
    # The context `g` outlives a request in tests that push one for the app. A client cannot set a key of the environment.
    state = flask.request.environ.get(_STATE)
    if not isinstance(state, _State):
        state = flask.request.environ[_STATE] = _State()
    return state


def _refusal(status: int, message: str) -> HTTPException:
    try:
        flask.abort(status, description=message)
    except HTTPException as error:
        return error


current_user: Any = LocalProxy(lambda: _state().loaded())
"""The user of the request: what `user_loader` returned, or a `User`, or an `AnonymousUser`."""


def handstamp_user() -> User | None:
    """Return the `User` of the request, also where `user_loader` gives another object for `current_user`."""
    return _state().user()


def login_required(view: Callable[P, R]) -> Callable[P, R | Response]:
    """Let only signed-in users in. A page leads to the sign-in page, anything else is answered 401."""
    return group_required()(view)


def group_required(*groups: str) -> Callable[[Callable[P, R]], Callable[P, R | Response]]:
    """Let only members of one of these groups in; others are answered 403."""

    def check(user: User) -> Response | None:
        if groups and not user.is_in(*groups):
            raise _refusal(403, "You are not in a group that may use this page.")
        return None

    return _guard(check)


def assurance_required(level: int) -> Callable[[Callable[P, R]], Callable[P, R | Response]]:
    """Let only users in whose session this assurance level was reached.

    For others a page leads to the page on which they authenticate again, and anything else is answered 403.
    """
    web.check_level(level)
    return _guard(lambda user: None if user.has_assurance(level) else _to_page("confirm", 403, web.NOT_ASSURED, level))


def _guard(check: Callable[[User], Response | None]) -> Callable[[Callable[P, R]], Callable[P, R | Response]]:
    """Return a decorator that lets only those users in for whom the check has no response."""

    def decorate(view: Callable[P, R]) -> Callable[P, R | Response]:
        @functools.wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | Response:
            user = _state().user()
            if user is None:
                return _to_page("login", 401, "Please sign in first.")
            _state().loaded()
            refused = check(user)
            if refused is not None:
                return refused
            return cast("R", flask.current_app.ensure_sync(view)(*args, **kwargs))

        return guarded

    return decorate


def _target() -> str:
    request = flask.request
    query = request.query_string.decode("latin-1")
    return quote(request.root_path.rstrip("/") + request.path, safe="/:@!$&'()*+,;=~-._") + (f"?{query}" if query else "")


def _origin() -> str | None:
    return _installed().verifier.settings.origin_of(flask.request.headers.get("X-Forwarded-Host"), flask.request.host)


def _to_page(page: str, status: int, message: str, assurance: int | None = None) -> Response:
    """Lead to a page of Handstamp and back, or refuse what is no page."""
    request, settings, origin = flask.request, _installed().verifier.settings, _origin()
    headers = request.headers
    if origin is None:
        flask.abort(Response(web.wrong_address(settings, _target()), 421, mimetype="text/plain"))
    if not web.is_navigation(request.method, headers.get("Sec-Fetch-Mode"), headers.get("Accept")):
        raise _refusal(status, message)
    path = web.return_path(request.method, _target(), request.referrer, origin)
    return flask.redirect(web.account_url(settings, page, origin, path, assurance), 303)


def _build_url(_error: Exception, endpoint: str, values: dict[str, Any]) -> str:
    """Build `url_for("handstamp.login", next=…)`; flask calls this for endpoints that have no route."""
    prefix, _, page = endpoint.partition(".")
    if prefix != "handstamp" or page not in web.PAGES:
        raise _error
    origin = _origin() if flask.has_request_context() else None
    return web.account_url(_installed().verifier.settings, page, origin, values.get("next"))


def _clear_session_of_others() -> None:
    """Clear what another session of Handstamp left in the session of Flask."""
    session = flask.session
    if session and session.get(web.SESSION_KEY):
        user = _state().identity()
        if user is None or user.session_id != session[web.SESSION_KEY]:
            session.clear()


def _finish(response: flask.Response) -> flask.Response:
    state, session = _state(), flask.session
    if session and web.SESSION_KEY not in session:
        try:
            user = state.identity()
            if user:
                session[web.SESSION_KEY] = user.session_id
        except HTTPException:
            # It is unknown whose data these are.
            session.clear()
    if state.is_looked_at:
        response.headers["Cache-Control"] = web.cache_control(response.headers.get("Cache-Control"))
        response.headers["Vary"] = web.vary(", ".join(response.headers.getlist("Vary")))
    return response


class HandstampClient(FlaskClient):
    """A test client that is signed in: `app.test_client_class = HandstampClient`, then `app.test_client(user=…)`."""

    def __init__(self, *args: Any, user: User | None = None, **kwargs: Any) -> None:
        """Without a user it is anonymous; `handstamp.testing.made_up_user` makes one."""
        super().__init__(*args, **kwargs)
        self.user = user

    def open(self, *args: Any, **kwargs: Any) -> Any:
        verifier = self.application.extensions["handstamp"].verifier
        key = f"HTTP_{HEADER.upper().replace('-', '_')}"
        self.environ_base.pop(key, None)
        if self.user:
            self.environ_base[key] = assertion_for(self.user, verifier)
        # The host that the app is configured for.
        self.environ_base["HTTP_X_FORWARDED_HOST"] = verifier.settings.origins[0].split("://")[1]
        return super().open(*args, **kwargs)
