"""Users of Handstamp in Django.

INSTALLED_APPS += ["handstamp.django"]
MIDDLEWARE += ["handstamp.django.HandstampMiddleware"]  # after AuthenticationMiddleware
AUTHENTICATION_BACKENDS = ["handstamp.django.HandstampBackend", "django.contrib.auth.backends.ModelBackend"]
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handstamp.django.backend import HandstampBackend
    from handstamp.django.middleware import HandstampMiddleware

__all__ = ["HandstampBackend", "HandstampMiddleware"]


def __getattr__(name: str) -> Any:
    """Import on first use: Django imports this package before its models may be imported."""
    if name == "HandstampBackend":
        from handstamp.django.backend import HandstampBackend

        return HandstampBackend
    if name == "HandstampMiddleware":
        from handstamp.django.middleware import HandstampMiddleware

        return HandstampMiddleware
    raise AttributeError(name)
