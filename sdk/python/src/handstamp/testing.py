"""Help for the tests of an app: signs users in without a Handstamp that runs.

The assertions are real ones, signed by a key of the test, so the tests run the code that the app runs.
"""

import time
import uuid
from datetime import datetime, timezone
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handstamp.errors import InvalidAssertionError
from handstamp.user import User
from handstamp.verifier import HEADER, Verifier

_KEY_ID = "test"


class _TestKeys:
    def __init__(self) -> None:
        self.private = Ed25519PrivateKey.generate()

    def is_cached(self, _key_id: str) -> bool:
        return True

    def find(self, key_id: str) -> Any:
        if key_id != _KEY_ID:
            raise InvalidAssertionError("the assertion is signed by an unknown key")
        return self.private.public_key()


def made_up_user(
    name: str = "Ada Lovelace",
    *,
    id: str | None = None,
    email: str | None = "ada@example.com",
    email_verified: bool = True,
    groups: tuple[str, ...] | list[str] = (),
    session_id: str | None = None,
    legacy_id: str | None = None,
    methods: tuple[str, ...] | list[str] = ("pwd",),
    assurance: int = 1,
    authenticated_at: datetime | None = None,
) -> User:
    """Return a user with an id and a session of its own, who has just authenticated."""
    id, session_id = id or str(uuid.uuid4()), session_id or str(uuid.uuid4())
    # Assertions count in seconds.
    authenticated_at = (authenticated_at or datetime.now(timezone.utc)).replace(microsecond=0)
    groups, methods = tuple(groups), tuple(methods)
    return User(id, name, email, email_verified, groups, session_id, methods, assurance, authenticated_at, legacy_id)


def assertion_for(user: User, verifier: Verifier) -> str:
    """Return an assertion for the user. The verifier accepts only those of this function from now on."""
    if not isinstance(verifier.keys, _TestKeys):
        verifier.keys = _TestKeys()
    now, settings = int(time.time()), verifier.settings
    claims: dict[str, object] = {
        "iss": settings.public_url,
        "aud": settings.origins[0],
        "sub": user.id,
        "sid": user.session_id,
        "amr": list(user.methods),
        "acr": str(user.assurance),
        "auth_time": now if user.authenticated_at is None else int(user.authenticated_at.timestamp()),
        "name": user.name,
        "email": user.email,
        "email_verified": user.email_verified,
        "groups": list(user.groups),
        "legacy_id": user.legacy_id,
        "required_groups": None if user.required_groups is None else list(user.required_groups),
        "iat": now - 30,
        "exp": now + 60,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, verifier.keys.private, algorithm="EdDSA", headers={"kid": _KEY_ID})


def headers_for(user: User, verifier: Verifier) -> dict[str, str]:
    """Return the headers of a request of this user."""
    return {HEADER: assertion_for(user, verifier)}
