"""The rules for requests and responses that all frameworks share."""

from urllib.parse import urlencode, urlsplit

from handstamp.settings import Settings

# The key in the framework's session that says to which session of Handstamp it belongs.
SESSION_KEY = "_handstamp_session"
PAGES = ("login", "logout", "register", "account", "confirm")
LEVELS = (1, 2, 3)
NOT_ASSURED = "You are signed in, but for this you have to authenticate again."


def is_navigation(method: str, fetch_mode: str | None, accept: str | None) -> bool:
    """Return whether a browser navigates to a page, by the same rule as Handstamp."""
    if fetch_mode:
        return fetch_mode == "navigate"
    return method in ("GET", "HEAD") and "text/html" in (accept or "")


def return_path(method: str, target: str, referrer: str | None, origin: str) -> str:
    """Return where to go after the sign-in: the page, or the page with the form that was sent."""
    if method in ("GET", "HEAD"):
        return target
    parts = urlsplit(referrer or "")
    if f"{parts.scheme}://{parts.netloc}" != origin:
        return "/"
    return f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"


def check_level(level: int) -> int:
    """Return an assurance level that an app may require."""
    if level not in LEVELS:
        raise ValueError(f"{level!r} is no assurance level: there are 1, 2 and 3")
    return level


def account_url(
    settings: Settings,
    page: str,
    origin: str | None = None,
    next_path: str | None = None,
    assurance: int | None = None,
) -> str:
    """Return the URL of one of the `PAGES`. It is a path where the app has the origin of Handstamp.

    `assurance` is the level that the user shall reach on the page `confirm`.
    """
    if page not in PAGES:
        raise ValueError(f"{page!r} is none of {PAGES}")
    origin = origin or settings.origins[0]
    is_same = origin == settings.public_url
    path = "/account" if page == "account" else f"/account/{page}"
    if next_path and not is_same and next_path.startswith("/"):
        next_path = origin + next_path
    fields = {"assurance": assurance, "next": next_path}
    query = urlencode({name: value for name, value in fields.items() if value})
    return f"{'' if is_same else settings.public_url}{path}{'?' if query else ''}{query}"


def wrong_address(settings: Settings, target: str) -> str:
    """Return what a request reads that reached the app around its proxy."""
    return f"Open {settings.origins[0]}{target} instead: this address reaches the app without Handstamp.\n"


def cache_control(existing: str | None) -> str:
    """Return the `Cache-Control` of a response that depends on the user. A page that is cached is shown after the sign-out."""
    names = {part.split("=")[0].strip().lower() for part in (existing or "").split(",")}
    return existing if existing and names & {"no-store", "private"} else "no-store"


def vary(existing: str | None) -> str:
    """Return the `Vary` of a response that depends on the user."""
    names = [name.strip() for name in (existing or "").split(",") if name.strip()]
    if "*" in names or "cookie" in (name.lower() for name in names):
        return existing or ""
    return ", ".join([*names, "Cookie"])
