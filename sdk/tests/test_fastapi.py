"""What only the packages for FastAPI and Starlette have."""

from typing import Annotated

import fastapi
import httpx
import pytest
import websockets.sync.client
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from handstamp import SettingsError, User
from handstamp.fastapi import CurrentUser, Handstamp, OptionalUser, current_user, require_assurance, require_group
from handstamp.starlette import HandstampBackend, on_error
from handstamp.testing import headers_for, made_up_user

URL = "http://localhost:8000"


def new_app():
    app = fastapi.FastAPI()
    handstamp = Handstamp(app, url=URL)

    @app.get("/me")
    async def me(user: CurrentUser):
        return user.name

    @app.get("/response")
    async def response(user: OptionalUser):
        return PlainTextResponse("a response of its own")

    @app.get("/staff")
    async def staff(user: Annotated[User, fastapi.Depends(require_group("staff"))]):
        return user.name

    @app.get("/payouts")
    async def payouts(user: Annotated[User, fastapi.Depends(require_assurance(2))]):
        return user.assurance

    return app, handstamp


def test_a_route_can_require_an_assurance_level():
    app, handstamp = new_app()
    client = TestClient(app, base_url=URL, follow_redirects=False)
    page = {"Accept": "text/html"}

    def asks(level, **headers):
        return client.get("/payouts?a=1", headers={**headers, **headers_for(made_up_user(assurance=level), handstamp.verifier)})

    assert [asks(level).status_code for level in (1, 2, 3)] == [403, 200, 200]
    led = asks(1, **page)
    expected = "/account/confirm?assurance=2&next=%2Fpayouts%3Fa%3D1"
    assert (led.status_code, led.headers["Location"], led.headers["Cache-Control"]) == (303, expected, "no-store")
    assert client.get("/payouts", headers=page).headers["Location"] == "/account/login?next=%2Fpayouts"
    with pytest.raises(ValueError, match="no assurance level"):
        require_assurance(4)


def test_scopes_name_the_assurance_levels_that_are_reached():
    @requires("assurance:2")
    async def payouts(request):
        return PlainTextResponse(" ".join(request.auth.scopes))

    app = Starlette(routes=[Route("/", payouts)])
    handstamp = Handstamp(app, url=URL)
    client = TestClient(app, base_url=URL)
    strong = client.get("/", headers=headers_for(made_up_user(assurance=2), handstamp.verifier))
    assert strong.text == "authenticated assurance:1 assurance:2"
    assert client.get("/", headers=headers_for(made_up_user(assurance=1), handstamp.verifier)).status_code == 403
    assert client.get("/").status_code == 403


def test_a_websocket_has_the_user_and_a_stranger_has_none(sites):
    site = sites("fastapi")
    visitor = site.visitor()
    visitor.register("websocket@example.com", "Ada")
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.client.cookies.items())
    url = site.url.replace("http://", "ws://") + "/socket"
    with websockets.sync.client.connect(url, additional_headers={"Cookie": cookies}, origin=site.url) as socket:
        assert socket.recv() == "Ada"
    with pytest.raises(websockets.exceptions.InvalidStatus, match="403"):
        websockets.sync.client.connect(url)


def test_the_scheme_is_in_the_description_of_the_api():
    app, _ = new_app()
    described = TestClient(app, base_url=URL).get("/openapi.json").json()
    scheme = described["components"]["securitySchemes"]["Handstamp"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "Handstamp-Assertion")
    for path in ("/me", "/staff", "/response"):
        assert described["paths"][path]["get"]["security"] == [{"Handstamp": []}]


def test_a_test_signs_in_by_an_override_or_by_an_assertion():
    app, handstamp = new_app()
    client = TestClient(app, base_url=URL)
    assert client.get("/me").status_code == 401
    staff = headers_for(made_up_user("Ada", groups=["staff"]), handstamp.verifier)
    assert client.get("/staff", headers=staff).json() == "Ada"
    bob = headers_for(made_up_user("Bob"), handstamp.verifier)
    assert client.get("/staff", headers=bob).status_code == 403
    app.dependency_overrides[current_user] = lambda: made_up_user("Carol", groups=["staff"])
    assert (client.get("/me").json(), client.get("/staff").json()) == ("Carol", "Carol")


def test_a_response_of_its_own_is_not_stored_either():
    app, _ = new_app()
    answer = TestClient(app, base_url=URL).get("/response")
    assert (answer.headers["Cache-Control"], answer.headers["Vary"]) == ("no-store", "Cookie")


def test_a_mounted_app_has_the_user():
    inner, _ = new_app()
    app = Starlette(routes=[Mount("/inner", inner)])
    handstamp = Handstamp(app, url=URL)
    headers = headers_for(made_up_user("Ada"), handstamp.verifier)
    client = TestClient(app, base_url=URL)
    assert client.get("/inner/me", headers=headers).json() == "Ada"
    page = client.get("/inner/me", headers={"Accept": "text/html"}, follow_redirects=False)
    assert page.headers["Location"] == "/account/login?next=%2Finner%2Fme"


def test_an_app_without_handstamp_says_what_is_missing():
    app = fastapi.FastAPI()

    @app.get("/")
    async def view(user: CurrentUser):
        return user.name

    with pytest.raises(RuntimeError, match=r"Handstamp\(app\) was not called"):
        TestClient(app).get("/")
    with pytest.raises(SettingsError, match="HANDSTAMP_URL is not set"):
        Handstamp(fastapi.FastAPI())


@requires(["authenticated", "group:staff"])
async def staff(request):
    return PlainTextResponse(request.user.display_name + request.user.identity)


def test_the_middleware_for_authentication_of_starlette_works_as_well():
    middleware = [Middleware(AuthenticationMiddleware, backend=HandstampBackend(), on_error=on_error)]
    app = Starlette(routes=[Route("/", staff)], middleware=middleware)
    handstamp = Handstamp(app, url=URL)
    client, ada = TestClient(app, base_url=URL), made_up_user("Ada", groups=["staff"])
    answer = client.get("/", headers=headers_for(ada, handstamp.verifier))
    assert (answer.text, answer.headers["Cache-Control"]) == ("Ada" + ada.id, "no-store")
    assert client.get("/").status_code == 403
    assert client.get("/", headers={"Handstamp-Assertion": "forged"}).status_code == 401


def test_request_user_is_there_without_it():
    app = Starlette(routes=[Route("/", staff)])
    handstamp = Handstamp(app, url=URL)
    client, ada = TestClient(app, base_url=URL), made_up_user("Ada", groups=["staff"])
    assert client.get("/", headers=headers_for(ada, handstamp.verifier)).text == "Ada" + ada.id
    assert client.get("/", headers=headers_for(made_up_user(), handstamp.verifier)).status_code == 403
    assert client.get("/").status_code == 403


def test_a_fetch_of_keys_does_not_block_the_event_loop(caplog):
    """A fetch of the keys waits for a request to the same app, so it ends only if the app goes on meanwhile."""
    import threading
    import time

    import uvicorn

    from running import free_address, is_listening

    address = free_address()
    app = fastapi.FastAPI()
    Handstamp(app, url=f"http://{address}")

    @app.get("/account/jwks.json")
    async def keys():
        return {"keys": []}

    @app.get("/me")
    async def me(user: CurrentUser):
        return user.name

    host, port = address.split(":")
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=int(port), log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not is_listening(address):
            time.sleep(0.02)
        token = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.AA"
        answer = httpx.get(f"http://{address}/me", headers={"Handstamp-Assertion": token}, trust_env=False, timeout=30)
        assert answer.status_code == 503
        # And not that the time is over.
        assert "the answer has no key" in caplog.text
    finally:
        server.should_exit = True
        thread.join()
