"""The middleware: signs the user of the assertion in to Django, and out with the session of Handstamp."""

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from django.utils.functional import SimpleLazyObject

from handstamp import web
from handstamp.django.apps import verifier
from handstamp.django.backend import HandstampBackend
from handstamp.errors import HandstampError, NotInGroupError
from handstamp.user import User
from handstamp.verifier import HEADER

_HEADER = f"HTTP_{HEADER.upper().replace('-', '_')}"


class HandstampMiddleware(MiddlewareMixin):
    """Sets `request.user` and `request.handstamp_user`. It stands after `AuthenticationMiddleware`."""

    def process_request(self, request: Any) -> HttpResponse | None:
        if not hasattr(request, "user"):
            raise ImproperlyConfigured(f"{type(self).__name__} must stand after AuthenticationMiddleware in MIDDLEWARE")
        header = request.META.get(_HEADER, "")
        try:
            handstamp_user = verifier().user_of([header] if header else [])
            request.handstamp_user = handstamp_user
            if handstamp_user is None:
                return self._anonymous(request)
            self._sign_in(request, handstamp_user)
        except HandstampError as error:
            return _plain(error.status, f"{error}\n")
        return None

    def _anonymous(self, request: Any) -> HttpResponse | None:
        # A session that this middleware did not begin is the app's, as one of `client.force_login`.
        if _has_session(request) and web.SESSION_KEY in request.session:
            auth.logout(request)
        _watch(request, request.user)
        return None

    def _sign_in(self, request: Any, handstamp_user: User) -> None:
        session = request.session
        if web.SESSION_KEY in session and session[web.SESSION_KEY] != handstamp_user.session_id:
            session.flush()
        user = auth.authenticate(request, handstamp_user=handstamp_user)
        if user is None:
            raise NotInGroupError("You have no account in this app.")
        backend = auth.load_backend(user.backend)
        if isinstance(backend, HandstampBackend):
            backend.update_user(user, handstamp_user)
        if session.get(web.SESSION_KEY) != handstamp_user.session_id or session.get(auth.SESSION_KEY) != str(user.pk):
            # It gives the session another key, and flushes that of another user.
            auth.login(request, user)
            session[web.SESSION_KEY] = handstamp_user.session_id
        _watch(request, user)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if getattr(request, "_handstamp_is_looked_at", False):
            response["Cache-Control"] = web.cache_control(response.get("Cache-Control"))
            response["Vary"] = web.vary(response.get("Vary"))
        return response


def _has_session(request: Any) -> bool:
    return request.session.session_key is not None


def _watch(request: Any, user: Any) -> None:
    """Note when the user is looked at."""

    def look() -> Any:
        request._handstamp_is_looked_at = True
        # A stranger's user is lazy too. The database is asked here, in a thread if need be.
        return user if user.is_authenticated else AnonymousUser()

    async def look_async() -> Any:
        return await sync_to_async(look)()

    request.user = SimpleLazyObject(look)
    request.auser = look_async


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})
