"""The errors of this package, each with the HTTP status that fits it."""


class SettingsError(ValueError):
    """A setting is missing or malformed; raised when the app starts."""


class HandstampError(Exception):
    """A request is refused. `status` is the HTTP status, and the message may be shown to the client."""

    status = 500


class InvalidAssertionError(HandstampError):
    """The assertion is malformed, expired, or signed by another key."""

    status = 401


class NotInGroupError(HandstampError):
    """The user is in none of the groups that this app or its proxy requires."""

    status = 403


class ConfigurationError(HandstampError):
    """The assertion is valid, but for another audience or from another issuer: a setting is wrong."""

    status = 500


class KeysUnavailableError(HandstampError):
    """The keys of Handstamp cannot be fetched."""

    status = 503
