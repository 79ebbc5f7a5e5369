"""The link between a user of Handstamp and a user of Django."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class Identity(models.Model):
    """Says which user of Django a user of Handstamp is. It is the only link; names and addresses may change."""

    handstamp_id = models.UUIDField(primary_key=True)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="handstamp_identity")

    class Meta:
        """Names for people."""

        verbose_name = "Handstamp identity"
        verbose_name_plural = "Handstamp identities"
        constraints: ClassVar[list[models.BaseConstraint]] = []

    def __str__(self) -> str:
        return str(self.handstamp_id)
