"""Users of Handstamp in an app: verifies the assertion that Handstamp sends with each request.

The modules `handstamp.flask`, `handstamp.django`, `handstamp.fastapi` and `handstamp.starlette` use it in these frameworks.
"""

from handstamp.errors import (
    ConfigurationError,
    HandstampError,
    InvalidAssertionError,
    KeysUnavailableError,
    NotInGroupError,
    SettingsError,
)
from handstamp.settings import Settings
from handstamp.user import AnonymousUser, User
from handstamp.verifier import Verifier

__all__ = [
    "AnonymousUser",
    "ConfigurationError",
    "HandstampError",
    "InvalidAssertionError",
    "KeysUnavailableError",
    "NotInGroupError",
    "Settings",
    "SettingsError",
    "User",
    "Verifier",
]
