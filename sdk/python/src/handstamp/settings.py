"""The settings of an app: where Handstamp is, and for whom the app is."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from handstamp.errors import SettingsError

NAMES = ("URL", "PUBLIC_URL", "ORIGINS", "GROUPS")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Settings:
    """The settings after their checks."""

    url: str
    """The URL at which this app reaches Handstamp, for its keys. No slash at the end."""
    public_url: str
    """The `public_url` of Handstamp: the issuer of assertions, and the origin of the sign-in page."""
    origins: tuple[str, ...]
    """The origins at which browsers reach this app: the audiences that it accepts."""
    groups: tuple[str, ...] = ()
    """The app is for members of one of these groups; if empty, for all users."""

    @classmethod
    def read(cls, given: Mapping[str, object] | None = None) -> "Settings":
        """Read the settings by the names in `NAMES`, and those that are missing from `HANDSTAMP_…` in the environment."""
        given = given or {}
        # A misspelt restriction must not go unnoticed.
        unknown = sorted(set(given) - set(NAMES)) + [name for name in ("GROUP", "ORIGIN") if f"HANDSTAMP_{name}" in os.environ]
        if unknown:
            raise SettingsError(f"there is no setting HANDSTAMP_{unknown[0]}: there are {', '.join(NAMES)}")

        def value(name: str) -> object:
            # An empty variable counts as not set.
            return given.get(name) or os.environ.get(f"HANDSTAMP_{name}") or None

        url = value("URL")
        if url is None:
            message = "HANDSTAMP_URL is not set: it is the URL of Handstamp, such as http://localhost:8000"
            raise SettingsError(message)
        url = _url("HANDSTAMP_URL", url)
        public_url = _origin("HANDSTAMP_PUBLIC_URL", value("PUBLIC_URL") or url)
        origins = tuple(_origin("HANDSTAMP_ORIGINS", origin) for origin in _list("HANDSTAMP_ORIGINS", value("ORIGINS")))
        groups = tuple(_list("HANDSTAMP_GROUPS", value("GROUPS")))
        return cls(url, public_url, origins or (public_url,), groups)

    def origin_of(self, *hosts: str | None) -> str | None:
        """Return the configured origin of the first host that has one."""
        for host in hosts:
            for origin in self.origins:
                if host and urlsplit(origin).netloc == host.lower():
                    return origin
        return None


def _list(name: str, value: object) -> list[str]:
    items = value.split(",") if isinstance(value, str) else value or []
    if not isinstance(items, list | tuple | set | frozenset) or not all(isinstance(item, str) for item in items):
        raise SettingsError(f"{name} must be a list of texts, or one text with commas, and not {value!r}")
    return [item.strip() for item in items if item.strip()]


def _url(name: str, value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"{name} is {value!r}, which is not a URL: {error}") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError(f"{name} is {value!r}, but must be a URL such as https://app.example.com")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_default = port is None or port == _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}{'' if is_default else f':{port}'}{parts.path.rstrip('/')}"


def _origin(name: str, value: object) -> str:
    url = _url(name, value)
    if urlsplit(url).path:
        raise SettingsError(f"{name} is {value!r}, but must have no path, such as https://app.example.com")
    return url
