"""Users of Handstamp in Django REST framework.

REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": ["handstamp.django.rest.HandstampAuthentication"]}
"""

from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request


class HandstampAuthentication(SessionAuthentication):
    """Takes the user of `HandstampMiddleware`.

    Writes need the CSRF token of Django, since browsers send cookies by themselves.
    """

    def authenticate_header(self, request: Request) -> str:
        """Make an anonymous request end with 401 and not with 403."""
        del request
        return "Handstamp"
