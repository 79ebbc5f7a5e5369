"""Decorators for views, beside those of Django."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from handstamp import web
from handstamp.django.apps import verifier

View = TypeVar("View", bound=Callable[..., Any])


def assurance_required(level: int) -> Callable[[View], View]:
    """Let only users in whose session this assurance level was reached.

    For others a page leads to the page on which they authenticate again, and anything else is answered 403. An anonymous
    user is led to the sign-in page, as by `login_required`.
    """
    web.check_level(level)

    def decorate(view: Any) -> Any:
        if inspect.iscoroutinefunction(view):

            @functools.wraps(view)
            async def guarded_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                return _refusal(request, level) or await view(request, *args, **kwargs)

            return guarded_async

        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return _refusal(request, level) or view(request, *args, **kwargs)

        return guarded

    return decorate


def _refusal(request: Any, level: int) -> HttpResponse | None:
    request._handstamp_is_looked_at = True
    user, target, headers, settings = request.handstamp_user, request.get_full_path(), request.headers, verifier().settings
    if user is None:
        return redirect_to_login(target)
    if user.has_assurance(level):
        return None
    origin = settings.origin_of(headers.get("X-Forwarded-Host"), headers.get("Host"))
    is_page = web.is_navigation(request.method, headers.get("Sec-Fetch-Mode"), headers.get("Accept"))
    if origin is None or not is_page:
        raise PermissionDenied(web.NOT_ASSURED)
    path = web.return_path(request.method, target, headers.get("Referer"), origin)
    location = web.account_url(settings, "confirm", origin, path, level)
    return HttpResponse(status=303, headers={"Location": location})
