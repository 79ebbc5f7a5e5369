"""The Django app, its settings and its system checks."""

from collections.abc import Sequence
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
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


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


def check(app_configs: Sequence[AppConfig] | None, **_: object) -> list[CheckMessage]:
    """Return what is wrong with the settings of the project."""
    del app_configs
    from handstamp.django.backend import HandstampBackend

    found: list[CheckMessage] = []
    middleware = list(settings.MIDDLEWARE)
    if MIDDLEWARE not in middleware:
        found.append(Error(f"MIDDLEWARE has no {MIDDLEWARE}", id="handstamp.E001"))
    elif AUTHENTICATION not in middleware or middleware.index(AUTHENTICATION) > middleware.index(MIDDLEWARE):
        found.append(Error(f"{MIDDLEWARE} must stand after {AUTHENTICATION} in MIDDLEWARE", id="handstamp.E002"))
    backends = [import_string(path) for path in settings.AUTHENTICATION_BACKENDS]
    if not any(isinstance(backend, type) and issubclass(backend, HandstampBackend) for backend in backends):
        hint = 'AUTHENTICATION_BACKENDS = ["handstamp.django.HandstampBackend"]'
        found.append(Error("AUTHENTICATION_BACKENDS has no HandstampBackend", hint, id="handstamp.E003"))
    login = web.account_url(verifier().settings, "login")
    if str(settings.LOGIN_URL) != login:
        hint = f"Remove LOGIN_URL, or set it to {login!r}."
        found.append(Warning(f"LOGIN_URL is {settings.LOGIN_URL!r}, not Handstamp's sign-in page", hint, id="handstamp.W001"))
    return found
