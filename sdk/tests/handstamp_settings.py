"""The settings by which mypy reads the models of Django."""

SECRET_KEY = "of the tests"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "handstamp.django"]
HANDSTAMP = {"URL": "http://localhost:8000"}
