"""The authentication backend: makes or finds the user of Django for a user of Handstamp."""

import logging
import uuid
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group
from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils.text import slugify

from handstamp.django.apps import option
from handstamp.django.models import Identity
from handstamp.user import User

# All runs of `handstamp doctor` share one row.
_DOCTOR_ID = uuid.UUID(int=0)
_log = logging.getLogger("handstamp")


class HandstampBackend(ModelBackend):
    """Finds users by their id in Handstamp. Subclass it to change how the app's users are made and updated."""

    def authenticate(  # type: ignore[override]
        self, request: HttpRequest | None, handstamp_user: User | None = None, **_credentials: Any
    ) -> Any:
        """Return the user of Django, made if need be; `None` if the app has no account for this user."""
        del request
        if handstamp_user is None:
            return None
        try:
            user = self.find_or_create(handstamp_user)
        except IntegrityError:
            # Another request of this user has just made it.
            user = self.find_or_create(handstamp_user)
        return user if user is not None and self.user_can_authenticate(user) else None

    def find_or_create(self, handstamp_user: User) -> Any:
        identity_id = _DOCTOR_ID if handstamp_user.is_doctor else uuid.UUID(handstamp_user.id)
        identity = Identity.objects.select_related("user").filter(pk=identity_id).first()
        if identity is not None:
            return identity.user
        with transaction.atomic():
            user = self.find_unlinked(handstamp_user)
            if user is None and option("CREATE_USERS"):
                user = self.create(handstamp_user)
            if user is not None:
                Identity.objects.create(pk=identity_id, user=user)
        return user

    def find_unlinked(self, handstamp_user: User) -> Any:
        """Return the user that the app had before, by what `LINK_BY` names. An unverified address links nothing."""
        model, links = get_user_model(), option("LINK_BY")
        if handstamp_user.is_doctor:
            return None
        unlinked = model._default_manager.filter(handstamp_identity=None)
        if "legacy_id" in links and handstamp_user.legacy_id is not None:
            try:
                return unlinked.get(pk=handstamp_user.legacy_id)
            except (ObjectDoesNotExist, ValueError, ValidationError):
                pass
        if "email" in links and handstamp_user.verified_email:
            found = list(unlinked.filter(**{f"{model.get_email_field_name()}__iexact": handstamp_user.verified_email})[:2])
            # Of two users with one address neither is the right one.
            return found[0] if len(found) == 1 else None
        return None

    def create(self, handstamp_user: User) -> Any:
        model = get_user_model()
        user = model(**{model.USERNAME_FIELD: self.username_for(handstamp_user)})
        user.set_unusable_password()
        self.configure_user(user, handstamp_user)
        user.save()
        return user

    def username_for(self, handstamp_user: User) -> str:
        """Return a readable name that no other user has."""
        model, distinct = get_user_model(), handstamp_user.id.replace("-", "")
        if model.get_email_field_name() == model.USERNAME_FIELD:
            return f"{distinct}@handstamp.invalid"
        return f"{slugify(handstamp_user.name)[:100] or 'user'}-{distinct[-10:]}"

    def configure_user(self, user: Any, handstamp_user: User) -> None:
        """Set further fields of a new user before it is saved. Override it."""

    def update_user(self, user: Any, handstamp_user: User) -> None:
        """Update name, address and rights, as far as they differ. It runs for each request."""
        values: dict[str, object] = {"first_name": handstamp_user.name[:150], "last_name": ""}
        for group, field in (("STAFF_GROUP", "is_staff"), ("SUPERUSER_GROUP", "is_superuser")):
            if option(group):
                values[field] = handstamp_user.is_in(option(group))
        _update(user, values)
        # Other parts of an app may trust this field.
        if handstamp_user.verified_email:
            try:
                _update(user, {get_user_model().get_email_field_name(): handstamp_user.verified_email})
            except IntegrityError as error:
                user.refresh_from_db()
                _log.error("the address of user %s is not updated: %s", user.pk, error)
        if option("SYNC_GROUPS"):
            _sync_groups(user, handstamp_user)


def _update(user: Any, values: dict[str, object]) -> None:
    changed = [name for name, value in values.items() if _has_field(name) and getattr(user, name) != value]
    if changed:
        for name in changed:
            setattr(user, name, values[name])
        # A transaction of its own, so that an error leaves that of the request as it is.
        with transaction.atomic():
            user.save(update_fields=changed)


def _has_field(name: str) -> bool:
    try:
        get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


def _sync_groups(user: Any, handstamp_user: User) -> None:
    """Make the user a member of the groups of Django that have the names of the groups in Handstamp, and of no other."""
    wanted = set(Group.objects.filter(name__in=handstamp_user.groups).values_list("pk", flat=True))
    if wanted != set(user.groups.values_list("pk", flat=True)):
        user.groups.set(wanted)
