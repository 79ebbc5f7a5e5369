"""The user of a request, as the assertion says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from handstamp.errors import InvalidAssertionError

# The user that `handstamp doctor` creates for its checks, and deletes again.
DOCTOR = "doctor@handstamp.invalid"


@dataclass(frozen=True)
class User:
    """A signed-in user."""

    id: str
    """A UUID that never changes. Link rows of the app by it."""
    name: str = ""
    """Free text of the user. Escape it."""
    email: str | None = None
    """The e-mail address, or `None` until it is verified."""
    email_verified: bool = False
    groups: tuple[str, ...] = ()
    session_id: str = ""
    """Changes with each sign-in. It opens nothing."""
    methods: tuple[str, ...] = ()
    """How the user authenticated (RFC 8176): `pwd` for a password, `otp` for a one-time code."""
    assurance: int = 1
    """1 for one factor, 2 for two factors, 3 for phishing-resistant ones."""
    authenticated_at: datetime | None = None
    """When the user last authenticated in this session."""
    legacy_id: str | None = None
    """The id of an imported user in the system before Handstamp."""
    required_groups: tuple[str, ...] | None = None
    """The groups of which the proxy required one; `None` if it required none."""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """All claims of the assertion."""

    is_authenticated: Literal[True] = field(default=True, init=False, repr=False)
    is_anonymous: Literal[False] = field(default=False, init=False, repr=False)
    # Flask-Login asks for this and for `get_id`.
    is_active: Literal[True] = field(default=True, init=False, repr=False)

    def get_id(self) -> str:
        return self.id

    def is_in(self, *groups: str) -> bool:
        """Return whether the user is in one of these groups."""
        return not set(groups).isdisjoint(self.groups)

    def has_assurance(self, level: int) -> bool:
        """Return whether the session has reached this level."""
        return self.assurance >= level

    @property
    def verified_email(self) -> str | None:
        """The address if it is verified. No row may be linked by any other."""
        return self.email if self.email_verified else None

    @property
    def is_doctor(self) -> bool:
        """Whether `handstamp doctor` made this request. Keep nothing of its user."""
        return self.email == DOCTOR

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> "User":
        """Read the verified claims of an assertion."""
        try:
            time, acr, required = claims.get("auth_time"), claims.get("acr"), claims.get("required_groups")
            return cls(
                id=_text(claims["sub"]),
                name=str(claims.get("name", "")),
                email=_optional_text(claims.get("email")),
                email_verified=claims.get("email_verified") is True,
                groups=_texts(claims.get("groups", [])),
                session_id=_text(claims["sid"]),
                methods=_texts(claims.get("amr", [])),
                assurance=1 if acr is None else int(acr),
                authenticated_at=None if time is None else datetime.fromtimestamp(time, timezone.utc),
                legacy_id=None if claims.get("legacy_id") is None else str(claims["legacy_id"]),
                required_groups=None if required is None else _texts(required),
                claims=claims,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidAssertionError(f"the assertion has a malformed claim: {error}") from error


@dataclass(frozen=True)
class AnonymousUser:
    """No user is signed in."""

    id: None = None
    name: str = ""
    email: None = None
    email_verified: bool = False
    groups: tuple[str, ...] = ()
    is_authenticated: Literal[False] = False
    is_anonymous: Literal[True] = True
    is_active: Literal[False] = False

    def get_id(self) -> None:
        return None

    def is_in(self, *_groups: str) -> bool:
        return False

    def has_assurance(self, _level: int) -> bool:
        return False


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is not a text")
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is not a list")
    return tuple(_text(value) for value in values)
