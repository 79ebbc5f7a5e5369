"""What only the package for Django has."""

import asyncio
import logging
import os
import runpy
from pathlib import Path
from unittest import mock

import pytest

with mock.patch.dict(os.environ, DATABASE=":memory:", HANDSTAMP_URL="http://localhost:8000"):
    PROJECT = runpy.run_path(str(Path(__file__).parent / "apps/django_app.py"), run_name="django_app")

import sys
import types

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core import checks
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.management import call_command
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory, TestCase, override_settings
from django.urls import path

from handstamp.django.apps import verifier
from handstamp.django.decorators import assurance_required
from handstamp.django.models import Identity
from handstamp.testing import headers_for, made_up_user

# The project runs as a program; here it is a module.
sys.modules["django_app"] = types.ModuleType("django_app")
sys.modules["django_app"].__dict__.update(PROJECT)

User = get_user_model()
BASE = {"URL": "http://localhost:8000"}


@pytest.fixture(scope="module", autouse=True)
def database():
    call_command("migrate", verbosity=0)


async def asynchronous(request):
    user = await request.auser() if hasattr(request, "auser") else request.user
    return HttpResponse(await asyncio.to_thread(user.get_full_name))


class Project(TestCase):
    def request(self, user=None, url="/public", method="get", client=None, **headers):
        if user:
            headers.update(headers_for(user, verifier()))
        extra = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        return getattr(client or self.client, method)(url, **extra)

    def row(self, user):
        return Identity.objects.get(pk=user.id).user


class Users(Project):
    def test_a_user_is_made_at_first_sight_and_kept(self):
        ada = made_up_user("Ada Lovelace", email="ada@example.com")
        assert self.request(ada, "/me").json()["name"] == "Ada Lovelace"
        self.request(ada, client=Client())
        row = self.row(ada)
        assert User.objects.count() == 1
        assert row.username.startswith("ada-lovelace-")
        assert (row.email, row.has_usable_password(), row.is_staff, row.is_superuser) == (
            "ada@example.com",
            False,
            False,
            False,
        )

    def test_name_address_and_rights_follow_handstamp(self):
        ada = made_up_user("Ada", groups=["staff", "editors", "unknown"])
        editors = Group.objects.create(name="editors")
        other = Group.objects.create(name="other")
        self.request(ada)
        row = self.row(ada)
        assert (row.is_staff, list(row.groups.all())) == (True, [editors])
        row.groups.add(other)
        changed = made_up_user("Ada L.", id=ada.id, email="new@example.com", session_id=ada.session_id)
        self.request(changed)
        row = self.row(ada)
        assert (row.first_name, row.email, row.is_staff, list(row.groups.all())) == ("Ada L.", "new@example.com", False, [])

    def test_an_unverified_address_is_not_stored(self):
        ada = made_up_user(email="ada@example.com", email_verified=False)
        self.request(ada)
        assert self.row(ada).email == ""

    def test_no_row_is_linked_by_an_address_unless_the_project_says_so(self):
        old = User.objects.create(username="ada", email="Ada@example.com")
        self.request(made_up_user(email="ada@example.com"))
        assert User.objects.count() == 2
        assert not Identity.objects.filter(user=old)

    @override_settings(HANDSTAMP={**BASE, "LINK_BY": ["email"]})
    def test_a_row_is_linked_by_a_verified_address_only(self):
        old = User.objects.create(username="ada", email="Ada@example.com", is_superuser=True)
        eve = made_up_user("Eve", email="ada@example.com", email_verified=False)
        self.request(eve)
        assert self.row(eve) != old
        ada = made_up_user("Ada", email="ada@example.com")
        self.request(ada, client=Client())
        assert self.row(ada) == old
        # A linked row is not linked again.
        again = made_up_user("Mallory", email="ada@example.com")
        self.request(again, client=Client())
        assert self.row(again) != old

    @override_settings(HANDSTAMP={**BASE, "LINK_BY": ["email"]})
    def test_of_two_rows_with_one_address_none_is_linked(self):
        for name in ("a", "b"):
            User.objects.create(username=name, email="ada@example.com")
        self.request(made_up_user(email="ada@example.com"))
        assert User.objects.count() == 3

    @override_settings(HANDSTAMP={**BASE, "LINK_BY": ["legacy_id"]})
    def test_an_imported_user_has_the_old_row(self):
        old = User.objects.create(username="ada")
        ada = made_up_user(legacy_id=str(old.pk))
        self.request(ada)
        assert self.row(ada) == old
        for legacy_id in (str(old.pk), "999999", "x"):
            self.request(made_up_user(legacy_id=legacy_id), client=Client())
        assert User.objects.count() == 4

    def test_a_legacy_id_links_nothing_by_default(self):
        old = User.objects.create(username="ada")
        ada = made_up_user(legacy_id=str(old.pk))
        self.request(ada)
        assert self.row(ada) != old

    @override_settings(HANDSTAMP={**BASE, "CREATE_USERS": False})
    def test_an_app_that_makes_no_users_refuses_unknown_ones(self):
        assert self.request(made_up_user()).status_code == 403
        assert User.objects.count() == 0

    def test_an_inactive_user_is_refused_also_in_a_session_that_has_begun(self):
        ada = made_up_user()
        assert self.request(ada, "/me").status_code == 200
        User.objects.update(is_active=False)
        assert self.request(ada, "/me").status_code == 403

    def test_the_doctor_leaves_one_row_however_often_it_runs(self):
        for _ in range(3):
            self.request(made_up_user("The doctor", email="doctor@handstamp.invalid"), client=Client())
        assert User.objects.count() == 1

    def test_a_name_that_is_no_user_name_is_none_either(self):
        for name in ("", "<b>", "山田", "x" * 300):
            self.request(made_up_user(name), client=Client())
        assert User.objects.count() == 4


class Sessions(Project):
    def test_a_user_signed_in_by_a_test_stays_signed_in(self):
        self.client.force_login(User.objects.create(username="ada", first_name="Ada"))
        for _ in range(2):
            assert self.request().json()["name"] == "Ada"

    def test_the_session_has_another_key_after_the_sign_in(self):
        self.client.post("/note", {"note": "a cart"})
        before = self.client.cookies["sessionid"].value
        ada = made_up_user()
        assert self.request(ada, "/note").json() == {"note": "a cart"}
        after = self.client.cookies["sessionid"].value
        assert before != after
        self.request(ada, "/note")
        assert self.client.cookies["sessionid"].value == after

    def test_a_request_in_a_session_needs_two_statements(self):
        ada = made_up_user()
        self.request(ada)
        # One more for the groups, which SYNC_GROUPS compares.
        with self.assertNumQueries(3):
            assert self.request(ada).status_code == 200
        with override_settings(HANDSTAMP=BASE), self.assertNumQueries(2):
            assert self.request(ada).status_code == 200

    def test_an_anonymous_request_needs_none(self):
        with self.assertNumQueries(0):
            assert self.request().json() == {"name": None}


class Rest(Project):
    def test_rest_framework_answers_401_and_asks_for_the_csrf_token(self):
        assert self.request(None, "/rest").status_code == 401
        client, ada = Client(enforce_csrf_checks=True), made_up_user("Ada")
        assert self.request(ada, "/rest", client=client).json() == {"name": "Ada"}
        assert self.request(ada, "/rest", "post", client=client).status_code == 403
        token = "a" * 32
        client.cookies["csrftoken"] = token
        assert self.request(ada, "/rest", "post", client=client, **{"X-CSRFToken": token}).json() == {"name": "Ada"}


class Assurance(Project):
    def test_a_view_can_require_an_assurance_level(self):
        page = {"Accept": "text/html", "Host": "localhost:8000"}
        for level, status in ((1, 403), (2, 200), (3, 200)):
            answer = self.request(made_up_user(assurance=level), "/payouts", client=Client())
            assert (answer.status_code, answer["Cache-Control"]) == (status, "no-store")
        weak = made_up_user()
        led = self.request(weak, "/payouts?a=1", **page)
        assert (led.status_code, led["Location"]) == (303, "/account/confirm?assurance=2&next=%2Fpayouts%3Fa%3D1")
        form = {"Sec-Fetch-Mode": "navigate", "Referer": "http://localhost:8000/form?b=2", "Host": "localhost:8000"}
        sent = self.request(weak, "/payouts", "post", **form)
        assert (sent.status_code, sent["Location"]) == (303, "/account/confirm?assurance=2&next=%2Fform%3Fb%3D2")
        assert self.request(weak, "/payouts", "post", **page).status_code == 403
        stranger = self.request(url="/payouts", client=Client(), **page)
        assert (stranger.status_code, stranger["Location"]) == (302, "/account/login?next=/payouts")
        with pytest.raises(ValueError, match="no assurance level"):
            assurance_required(4)

    def test_an_asynchronous_view_can_require_it_too(self):
        async def payouts(request):
            return HttpResponse("shown")

        guarded = assurance_required(3)(payouts)
        request = RequestFactory().get("/")
        request.handstamp_user = made_up_user(assurance=3)
        assert asyncio.run(guarded(request)).content == b"shown"
        request.handstamp_user = made_up_user(assurance=2)
        with pytest.raises(PermissionDenied):
            asyncio.run(guarded(request))


class Asynchronous(Project):
    def test_an_asynchronous_view_has_the_user(self):
        ada = made_up_user("Ada")
        sys.modules["django_app"].urlpatterns.append(path("asynchronous", asynchronous))

        async def request():
            headers = {f"HTTP_{name}".upper().replace("-", "_"): value for name, value in headers_for(ada, verifier()).items()}
            scope = {name.removeprefix("HTTP_").replace("_", "-"): value for name, value in headers.items()}
            return await AsyncClient().get("/asynchronous", **scope)

        from asgiref.sync import async_to_sync
        from django.urls import clear_url_caches

        clear_url_caches()
        answer = async_to_sync(request)()
        assert (answer.content, answer["Cache-Control"]) == (b"Ada", "no-store")


MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "handstamp.django.HandstampMiddleware",
]
WRONG = {
    "handstamp.E001": {"MIDDLEWARE": MIDDLEWARE[:2]},
    "handstamp.E002": {"MIDDLEWARE": [MIDDLEWARE[2], *MIDDLEWARE[:2]]},
    "handstamp.E003": {"AUTHENTICATION_BACKENDS": ["django.contrib.auth.backends.ModelBackend"]},
    "handstamp.W001": {"LOGIN_URL": "/login"},
}


@pytest.mark.parametrize("expected", WRONG)
def test_the_system_check_finds_a_wrong_setting(expected):
    with override_settings(**WRONG[expected]):
        assert expected in [message.id for message in checks.run_checks()]
    assert expected not in [message.id for message in checks.run_checks()]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"URL": "x"}, "HANDSTAMP_URL"),
        ({**BASE, "LINK_BY": "email"}, "LINK_BY"),
        ({**BASE, "LINK": ["name"]}, "no setting LINK"),
    ],
)
def test_a_malformed_setting_is_refused(setting, message):
    with override_settings(HANDSTAMP=setting), pytest.raises(ImproperlyConfigured, match=message):
        verifier()


def test_the_migration_is_that_of_the_model():
    call_command("makemigrations", "handstamp", check=True, dry_run=True, verbosity=0)


def test_an_address_that_is_unique_in_the_app_and_taken_leaves_the_rights_as_they_should_be(caplog):
    from django.db import IntegrityError

    from handstamp.django.backend import HandstampBackend

    user = User(username="ada", is_staff=True)
    with mock.patch.object(User, "refresh_from_db"), caplog.at_level(logging.ERROR), mock.patch.object(User, "save") as save:
        save.side_effect = [None, IntegrityError("UNIQUE constraint failed")]
        with override_settings(HANDSTAMP={**BASE, "STAFF_GROUP": "staff"}):
            from django.db import transaction

            with transaction.atomic():
                HandstampBackend().update_user(user, made_up_user("Ada", groups=[]))
    assert save.call_args_list[0].kwargs == {"update_fields": ["first_name", "is_staff"]}
    assert "the address of user" in caplog.text
