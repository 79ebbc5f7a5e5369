"""The Django app, its settings and its system checks."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from django.apps import AppConfig
from django.conf import global_settings, settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from handstamp import web
from handstamp.errors import SettingsError
from handstamp.settings import NAMES, Settings
from handstamp.verifier import Verifier

DEFAULTS: dict[str, Any] = {
    "STAFF_GROUP": None,
    "SUPERUSER_GROUP": None,
    "SYNC_GROUPS": False,
    "CREATE_USERS": True,
    "LINK_BY": (),
}
LINKS = ("legacy_id", "email")
MIDDLEWARE = "handstamp.django.HandstampMiddleware"


class HandstampConfig(AppConfig):
    """Checks the settings at the start."""

    name = "handstamp.django"
    label = "handstamp"
    verbose_name = "Handstamp"

    def ready(self) -> None:
        verifier()
        # Unless the project has a sign-in page of its own.
        if settings.LOGIN_URL == global_settings.LOGIN_URL:
            settings.LOGIN_URL = web.account_url(verifier().settings, "login")
        register(check)


def option(name: str) -> Any:
    """Return an entry of the setting `HANDSTAMP`."""
    return getattr(settings, "HANDSTAMP", {}).get(name, DEFAULTS[name])


@lru_cache(maxsize=1)
def verifier() -> Verifier:
    """Return the verifier of this project, or raise `ImproperlyConfigured`."""
    given = getattr(settings, "HANDSTAMP", {})
    unknown = sorted(set(given) - set(NAMES) - set(DEFAULTS))
    if unknown:
        raise ImproperlyConfigured(f"HANDSTAMP has no setting {unknown[0]}: there are {', '.join((*NAMES, *DEFAULTS))}")
    links = given.get("LINK_BY", ())
    if isinstance(links, str) or not set(links) <= set(LINKS):
        raise ImproperlyConfigured(f"HANDSTAMP['LINK_BY'] is {links!r}, but must be a list of {' and '.join(LINKS)}")
    try:
        return Verifier(Settings.read({name: given.get(name) for name in NAMES}))
    except SettingsError as error:
        raise ImproperlyConfigured(str(error)) from None


def _forget(*, setting: str, **_: object) -> None:
    if setting == "HANDSTAMP":
        verifier.cache_clear()


# For `override_settings` in tests.
setting_changed.connect(_forget)


def _position(paths: Iterable[str], base: type) -> int | None:
    """Return where the class or a subclass of it stands in a list of paths."""
    for position, path in enumerate(paths):
        found = import_string(path)
        if isinstance(found, type) and issubclass(found, base):
            return position
    return None


def check(app_configs: Sequence[AppConfig] | None, **_: object) -> list[CheckMessage]:
    """Return what is wrong with the settings of the project."""
    del app_configs
    from django.contrib.auth.middleware import AuthenticationMiddleware

    from handstamp.django.backend import HandstampBackend
    from handstamp.django.middleware import HandstampMiddleware

    found: list[CheckMessage] = []
    ours = _position(settings.MIDDLEWARE, HandstampMiddleware)
    authentication = _position(settings.MIDDLEWARE, AuthenticationMiddleware)
    if ours is None:
        found.append(Error(f"MIDDLEWARE has no {MIDDLEWARE}", id="handstamp.E001"))
    elif authentication is None or authentication > ours:
        message = f"{MIDDLEWARE} must stand after django.contrib.auth.middleware.AuthenticationMiddleware in MIDDLEWARE"
        found.append(Error(message, id="handstamp.E002"))
    if _position(settings.AUTHENTICATION_BACKENDS, HandstampBackend) is None:
        hint = 'AUTHENTICATION_BACKENDS = ["handstamp.django.HandstampBackend"]'
        found.append(Error("AUTHENTICATION_BACKENDS has no HandstampBackend", hint, id="handstamp.E003"))
    login = web.account_url(verifier().settings, "login")
    if str(settings.LOGIN_URL) != login:
        hint = f"Remove LOGIN_URL, or set it to {login!r}."
        found.append(Warning(f"LOGIN_URL is {settings.LOGIN_URL!r}, not Handstamp's sign-in page", hint, id="handstamp.W001"))
    return found
