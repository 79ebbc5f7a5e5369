"""The command `fill`, which adds accounts to the database."""

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand
from django.db import connection

# Not through the models, which take ten times as long.
FILL = """
WITH RECURSIVE numbers (number) AS (
    SELECT count(*) + 1 FROM auth_user
    UNION ALL
    SELECT number + 1 FROM numbers WHERE number < %(users)s
)
INSERT INTO auth_user
    (username, email, first_name, last_name, password, is_superuser, is_staff, is_active, date_joined)
SELECT 'person' || number || '@example.com', 'person' || number || '@example.com', 'Person ' || number, '',
    %(password)s, false, false, true, CURRENT_TIMESTAMP
FROM numbers WHERE number <= %(users)s
"""


class Command(BaseCommand):
    help = "Adds accounts until there are USERS."

    def add_arguments(self, parser):
        parser.add_argument("users", type=int)

    def handle(self, *, users, **options):
        with connection.cursor() as cursor:
            cursor.execute(FILL, {"users": users, "password": make_password(None)})
