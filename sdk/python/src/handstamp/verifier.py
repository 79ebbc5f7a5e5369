"""The verification of assertions."""

import logging
from collections.abc import Sequence

import jwt

from handstamp.errors import ConfigurationError, InvalidAssertionError, KeysUnavailableError, NotInGroupError
from handstamp.keys import KeySource, RemoteKeys
from handstamp.settings import Settings
from handstamp.user import User

HEADER = "Handstamp-Assertion"
# The clock of the app may differ by this many seconds.
LEEWAY = 30
_REQUIRED = ["aud", "exp", "iat", "iss", "sid", "sub"]
_log = logging.getLogger("handstamp")


class Verifier:
    """Verifies assertions by the settings of an app. It can be shared by threads."""

    def __init__(self, settings: Settings, keys: KeySource | None = None) -> None:
        """Fetch the keys from Handstamp, unless `keys` are given."""
        self.settings = settings
        self.keys: KeySource = keys or RemoteKeys(f"{settings.url}/account/jwks.json")

    def user_of(self, headers: Sequence[str]) -> User | None:
        """Return the user that the values of the header `Handstamp-Assertion` name; `None` if it is missing or empty."""
        if not any(headers):
            return None
        if len(headers) > 1:
            raise self._refuse("the request has several assertions")
        return self.verify(headers[0])

    def needs_no_fetch(self, headers: Sequence[str]) -> bool:
        """Return whether `user_of` answers without I/O."""
        try:
            return not headers or not headers[0] or self.keys.is_cached(_key_id(headers[0]))
        except InvalidAssertionError:
            return True

    def verify(self, assertion: str) -> User:
        """Return the user of an assertion, or raise a `HandstampError`."""
        try:
            # The library checks the signature and the times here; this app tells apart what else may be wrong.
            options = {"require": _REQUIRED, "verify_aud": False, "verify_iss": False}
            key = self.keys.find(_key_id(assertion))
            claims = jwt.decode(assertion, key, algorithms=["EdDSA"], options=options, leeway=LEEWAY)  # type: ignore[arg-type]
        except KeysUnavailableError as error:
            _log.error("%s", error)
            raise
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
            raise self._refuse(f"{error}: the clock of this machine or of Handstamp is wrong") from None
        except (InvalidAssertionError, jwt.PyJWTError) as error:
            raise self._refuse(str(error)) from None
        self._check_configuration(claims["aud"], claims["iss"])
        user = User.from_claims(claims)
        self._check_groups(user)
        return user

    def _refuse(self, reason: str) -> InvalidAssertionError:
        _log.warning("an assertion was refused: %s", reason)
        return InvalidAssertionError("The identity in this request could not be verified.")

    def _check_configuration(self, audience: object, issuer: object) -> None:
        settings = self.settings
        if issuer != settings.public_url:
            _log.error("the assertion is from %s, but HANDSTAMP_PUBLIC_URL is %s", issuer, settings.public_url)
        elif audience not in settings.origins:
            expected = " or ".join(settings.origins)
            _log.error("the assertion is for %s, but this app is at %s (HANDSTAMP_ORIGINS)", audience, expected)
        else:
            return
        raise ConfigurationError("This app and Handstamp are configured for different addresses. See the log of the app.")

    def _check_groups(self, user: User) -> None:
        for groups in (self.settings.groups or None, user.required_groups):
            if groups is not None and not user.is_in(*groups):
                raise NotInGroupError("You are not in a group that may use this page.")


def _key_id(assertion: str) -> str:
    try:
        key_id = jwt.get_unverified_header(assertion).get("kid")
    except (jwt.PyJWTError, ValueError) as error:
        raise InvalidAssertionError(f"it is not a JSON Web Token: {error}") from None
    if not isinstance(key_id, str):
        raise InvalidAssertionError("it names no key")
    return key_id
