"""Users of Handstamp in FastAPI.

    Handstamp(app)

    @app.get("/favourites")
    async def favourites(user: CurrentUser):
        return {"name": user.name}

The dependencies work for WebSockets too. Tests replace them: `app.dependency_overrides[current_user] = made_up_user`.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.openapi.models import APIKey
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from handstamp import web
from handstamp.errors import HandstampError
from handstamp.starlette import Handstamp, RequestState, confirm_first, refusal, sign_in_first
from handstamp.user import User
from handstamp.verifier import HEADER

__all__ = ["CurrentUser", "Handstamp", "OptionalUser", "current_user", "optional_user", "require_assurance", "require_group"]


class _OptionalUser(SecurityBase):
    def __init__(self) -> None:
        description = "The proxy in front of the app sends it, for the session cookie of Handstamp."
        self.model = APIKey.model_validate({"in": "header", "name": HEADER, "description": description})
        self.scheme_name = "Handstamp"

    async def __call__(self, connection: HTTPConnection) -> User | None:
        state = await RequestState.of(connection.scope)
        try:
            return state.user()
        except HandstampError as error:
            raise refusal(connection, error.status, str(error)) from error


class _CurrentUser(_OptionalUser):
    async def __call__(self, connection: HTTPConnection) -> User:
        user = await super().__call__(connection)
        if user is None:
            raise sign_in_first(connection, (await RequestState.of(connection.scope)).verifier)
        return user


optional_user = _OptionalUser()
current_user = _CurrentUser()
OptionalUser = Annotated[User | None, Depends(optional_user)]
"""The signed-in user, or `None`."""
CurrentUser = Annotated[User, Depends(current_user)]
"""The signed-in user. Without one, a page leads to the sign-in page, and anything else is answered 401."""


def require_group(*groups: str) -> Callable[..., Awaitable[User]]:
    """Return a dependency that gives a member of one of these groups: `Depends(require_group("staff"))`. Others get 403."""

    async def member(connection: HTTPConnection, user: CurrentUser) -> User:
        if not user.is_in(*groups):
            raise refusal(connection, 403, "You are not in a group that may use this page.")
        return user

    return member


def require_assurance(level: int) -> Callable[..., Awaitable[User]]:
    """Return a dependency that gives a user in whose session this assurance level was reached: `Depends(require_assurance(2))`.

    For others a page leads to the page on which they authenticate again, and anything else is answered 403.
    """
    web.check_level(level)

    async def assured(connection: HTTPConnection, user: CurrentUser) -> User:
        if not user.has_assurance(level):
            raise confirm_first(connection, (await RequestState.of(connection.scope)).verifier, level)
        return user

    return assured
