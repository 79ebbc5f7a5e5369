"""The app of the tests in Django."""

import os
import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="of the tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"], "OPTIONS": {"timeout": 20}}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "rest_framework",
        "handstamp.django",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "handstamp.django.HandstampMiddleware",
    ],
    AUTHENTICATION_BACKENDS=["handstamp.django.HandstampBackend", "django.contrib.auth.backends.ModelBackend"],
    HANDSTAMP={"URL": os.environ.get("HANDSTAMP_URL"), "STAFF_GROUP": "staff", "SYNC_GROUPS": True},
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["console"]},
    },
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["handstamp.django.rest.HandstampAuthentication"]},
)
django.setup()

from django.contrib.auth.decorators import login_required, user_passes_test
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse
from django.shortcuts import resolve_url
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from handstamp.django.decorators import assurance_required


@csrf_exempt
def public(request):
    user = request.user
    return JsonResponse({"name": user.get_full_name(), "email": user.email} if user.is_authenticated else {"name": None})


def plain(request):
    return HttpResponse("plain")


@login_required
def me(request):
    user, of_handstamp = request.user, request.handstamp_user
    groups = sorted(group.name for group in user.groups.all())
    details = {"name": user.get_full_name(), "email": user.email or None, "groups": groups, "old": of_handstamp.legacy_id}
    return JsonResponse({"id": of_handstamp.id, "session": of_handstamp.session_id, "user": user.pk, **details})


@login_required
@user_passes_test(lambda user: user.is_staff, login_url="/refused")
def staff(request):
    return HttpResponse("staff")


@csrf_exempt
@assurance_required(2)
def payouts(request):
    return HttpResponse(f"level {request.handstamp_user.assurance}")


@login_required
def form(request):
    return HttpResponse("sent")


@csrf_exempt
def note(request):
    if request.method == "POST":
        request.session["note"] = request.POST["note"]
        return HttpResponse("written")
    return JsonResponse({"note": request.session.get("note")})


def links(request):
    return JsonResponse({"login": f"{resolve_url(settings.LOGIN_URL)}"})


@api_view(["GET", "POST"])
@permission_classes([IsAuthenticated])
def rest(request):
    return Response({"name": request.user.get_full_name()})


urlpatterns = [
    path("public", public),
    path("plain", plain),
    path("me", me),
    path("staff", staff),
    path("payouts", payouts),
    path("form", csrf_exempt(form)),
    path("note", note),
    path("links", links),
    path("rest", rest),
]

application = get_wsgi_application()

if __name__ == "__main__":
    import waitress

    call_command("check", "--fail-level", "WARNING")
    call_command("migrate", verbosity=0)
    if sys.argv[1:] == ["asgi"]:
        import uvicorn
        from django.core.asgi import get_asgi_application

        host, port = os.environ["LISTEN"].split(":")
        uvicorn.run(get_asgi_application(), host=host, port=int(port), log_level="warning", lifespan="off")
    else:
        waitress.serve(application, listen=os.environ["LISTEN"])
