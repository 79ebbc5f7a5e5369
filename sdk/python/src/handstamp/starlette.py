"""Users of Handstamp in Starlette.

Handstamp(app)

@requires("authenticated")
async def favourites(request):
    return PlainTextResponse(f"Hello, {request.user.name}")
"""

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, BaseUser
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from handstamp import web
from handstamp.errors import HandstampError
from handstamp.settings import Settings
from handstamp.user import AnonymousUser, User
from handstamp.verifier import HEADER, Verifier

_STATE = "handstamp"


class Handstamp:
    """Installs Handstamp in an app: `request.user`, `request.auth`, and the rules for caches and sessions."""

    def __init__(self, app: Starlette, **settings: object) -> None:
        """Read the settings, or raise a `SettingsError`. `url="…"` stands for `HANDSTAMP_URL` in the environment."""
        self.verifier = Verifier(Settings.read({name.upper(): value for name, value in settings.items()}))
        if app.middleware_stack is not None:
            raise RuntimeError("Handstamp(app) must be called before the app starts")
        app.state.handstamp = self
        # The innermost middleware: the session is there, whatever was or will be added.
        app.user_middleware.append(Middleware(HandstampMiddleware, verifier=self.verifier))


class RequestState:
    """The user of one request. It is verified at the beginning, and errors are raised where the user is looked at."""

    def __init__(self, verifier: Verifier, result: User | HandstampError | None) -> None:
        """Use `of` instead."""
        self.verifier = verifier
        self.is_looked_at = False
        self._result = result

    @classmethod
    async def of(cls, scope: Scope, verifier: Verifier | None = None) -> "RequestState":
        """Return the state of a request, which is made at the first call."""
        state = scope.get(_STATE)
        if not isinstance(state, cls):
            verifier = verifier or _verifier(scope)
            state = scope[_STATE] = cls(verifier, await _verify(verifier, HTTPConnection(scope).headers.getlist(HEADER)))
        return state

    def identity(self) -> User | None:
        """Return the user without noting that the response depends on them."""
        if isinstance(self._result, HandstampError):
            raise self._result
        return self._result

    def user(self) -> User | None:
        """Return the user, and note that the response depends on them."""
        self.is_looked_at = True
        return self.identity()


def _verifier(scope: Scope) -> Verifier:
    installed = getattr(scope["app"].state, "handstamp", None) if "app" in scope else None
    if not isinstance(installed, Handstamp):
        raise RuntimeError("Handstamp(app) was not called for this app")
    return installed.verifier


async def _verify(verifier: Verifier, headers: Sequence[str]) -> User | HandstampError | None:
    try:
        if verifier.needs_no_fetch(headers):
            return verifier.user_of(headers)
        # Fetching keys must not block the event loop.
        return await run_in_threadpool(verifier.user_of, headers)
    except HandstampError as error:
        return error


def refusal(connection: HTTPConnection, status: int, message: str) -> HTTPException | WebSocketException:
    """Return what refuses a request, or a WebSocket before it is accepted."""
    if connection.scope["type"] == "websocket":
        return WebSocketException(1008, message)
    return HTTPException(status, message)


def sign_in_first(connection: HTTPConnection, verifier: Verifier) -> HTTPException | WebSocketException:
    """Return what leads a page to the sign-in page, and refuses anything else with 401."""
    return _lead_to(connection, verifier, "login", 401, "Please sign in first.")


def confirm_first(connection: HTTPConnection, verifier: Verifier, level: int) -> HTTPException | WebSocketException:
    """Return what leads a page to the page on which users authenticate again, and refuses anything else with 403."""
    return _lead_to(connection, verifier, "confirm", 403, web.NOT_ASSURED, level)


def _lead_to(
    connection: HTTPConnection, verifier: Verifier, page: str, status: int, message: str, assurance: int | None = None
) -> HTTPException | WebSocketException:
    """Return what leads a page to a page of Handstamp and back, and refuses anything else."""
    scope, headers, settings = connection.scope, connection.headers, verifier.settings
    origin = settings.origin_of(headers.get("X-Forwarded-Host"), headers.get("Host"))
    target = _target(connection)
    if origin is None:
        return refusal(connection, 421, web.wrong_address(settings, target).strip())
    method = scope.get("method", "GET")
    if scope["type"] == "websocket" or not web.is_navigation(method, headers.get("Sec-Fetch-Mode"), headers.get("Accept")):
        return refusal(connection, status, message)
    path = web.return_path(method, target, headers.get("Referer"), origin)
    return HTTPException(303, headers={"Location": web.account_url(settings, page, origin, path, assurance)})


def _target(connection: HTTPConnection) -> str:
    url = connection.url
    return f"{url.path or '/'}{'?' if url.query else ''}{url.query}"


class LazyUser(BaseUser):
    """`request.user`: a `User` or an `AnonymousUser`. The response depends on the user once it is looked at."""

    def __init__(self, connection: HTTPConnection, state: RequestState) -> None:
        """It looks at nothing yet."""
        self._connection = connection
        self._state = state

    def _user(self) -> User | AnonymousUser:
        try:
            return self._state.user() or AnonymousUser()
        except HandstampError as error:
            raise refusal(self._connection, error.status, str(error)) from error

    @property
    def is_authenticated(self) -> bool:
        return self._user().is_authenticated

    @property
    def display_name(self) -> str:
        return self._user().name

    @property
    def identity(self) -> str:
        return self._user().id or ""

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the user."""
        return getattr(self._user(), name)


class _LazyCredentials(AuthCredentials):
    """`request.auth`: the scopes are `authenticated`, `group:NAME` and `assurance:LEVEL`."""

    def __init__(self, user: LazyUser) -> None:
        self._user = user

    @property
    def scopes(self) -> list[str]:  # type: ignore[override]
        return _scopes(self._user.groups, self._user.assurance) if self._user.is_authenticated else []


def _scopes(groups: Sequence[str], assurance: int) -> list[str]:
    levels = (f"assurance:{level}" for level in web.LEVELS if level <= assurance)
    return ["authenticated", *(f"group:{group}" for group in groups), *levels]


class HandstampMiddleware:
    """Installed by `Handstamp(app)`."""

    def __init__(self, app: ASGIApp, verifier: Verifier) -> None:
        """Verify assertions by this verifier."""
        self.app = app
        self.verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        state = await RequestState.of(scope, self.verifier)
        try:
            _clear_session_of_others(scope, state)
        except HandstampError as error:
            await _response(scope, error)(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        if "user" not in scope:
            scope["user"] = user = LazyUser(connection, state)
            scope["auth"] = _LazyCredentials(user)

        async def finish(message: Message) -> None:
            if message["type"] == "http.response.start":
                _mark_session(scope, state)
                if state.is_looked_at:
                    headers = MutableHeaders(scope=message)
                    headers["Cache-Control"] = web.cache_control(headers.get("Cache-Control"))
                    headers["Vary"] = web.vary(", ".join(headers.getlist("Vary")))
            await send(message)

        await self.app(scope, receive, finish)


def _response(scope: Scope, error: HandstampError) -> ASGIApp:
    if scope["type"] == "websocket":
        return WebSocketClose(1008, str(error))
    return JSONResponse({"detail": str(error)}, error.status, {"Cache-Control": "no-store"})


def _clear_session_of_others(scope: Scope, state: RequestState) -> None:
    """Clear what another session of Handstamp left in the session of Starlette."""
    session = scope.get("session")
    if session and session.get(web.SESSION_KEY):
        user = state.identity()
        if user is None or user.session_id != session[web.SESSION_KEY]:
            session.clear()


def _mark_session(scope: Scope, state: RequestState) -> None:
    session = scope.get("session")
    if session and web.SESSION_KEY not in session:
        try:
            user = state.identity()
            if user:
                session[web.SESSION_KEY] = user.session_id
        except HandstampError:
            # It is unknown whose data these are.
            session.clear()


class HandstampBackend(AuthenticationBackend):
    """For apps that use `AuthenticationMiddleware(backend=HandstampBackend(), on_error=on_error)` already.

    It looks at the user of each request, so that no response is cached. `Handstamp(app)` is needed too.
    """

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        state = await RequestState.of(conn.scope)
        try:
            user = state.user()
        except HandstampError as error:
            raise AuthenticationError(str(error)) from error
        return (AuthCredentials(_scopes(user.groups, user.assurance)), LazyUser(conn, state)) if user else None


def on_error(_connection: HTTPConnection, error: Exception) -> Response:
    """Return the response of `AuthenticationMiddleware` to an invalid assertion."""
    cause = error.__cause__
    status = cause.status if isinstance(cause, HandstampError) else 401
    return JSONResponse({"detail": str(error)}, status, {"Cache-Control": "no-store"})
