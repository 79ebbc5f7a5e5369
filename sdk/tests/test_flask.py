"""What only the package for Flask has."""

import flask
import pytest
from flask_login import LoginManager
from flask_login import current_user as flask_login_user
from flask_login import login_required as flask_login_required

from handstamp import SettingsError
from handstamp.flask import (
    Handstamp,
    HandstampClient,
    assurance_required,
    current_user,
    group_required,
    handstamp_user,
    login_required,
)
from handstamp.testing import made_up_user


def new_app(**config):
    app = flask.Flask(__name__)
    app.config.update(HANDSTAMP_URL="http://localhost:8000", SECRET_KEY="of the tests", TESTING=True, **config)
    app.test_client_class = HandstampClient
    handstamp = Handstamp(app)
    return app, handstamp


def test_a_test_client_is_signed_in():
    app, _ = new_app()
    app.get("/")(login_required(lambda: current_user.name))
    app.get("/staff", endpoint="staff")(group_required("staff", "admins")(lambda: current_user.name))
    staff = app.test_client(user=made_up_user("Ada", groups=["staff"]))
    assert (staff.get("/").text, staff.get("/staff").text) == ("Ada", "Ada")
    assert app.test_client(user=made_up_user("Bob")).get("/staff").status_code == 403
    assert app.test_client().get("/").status_code == 401


def test_a_view_can_require_an_assurance_level():
    app, _ = new_app()
    app.route("/payouts", methods=["GET", "POST"])(assurance_required(2)(lambda: str(current_user.assurance)))
    page = {"Accept": "text/html"}
    for level in (2, 3):
        strong = app.test_client(user=made_up_user(assurance=level, methods=["pwd", "otp"]))
        assert strong.get("/payouts").text == str(level)
    weak = app.test_client(user=made_up_user())
    assert weak.get("/payouts").status_code == 403
    led = weak.get("/payouts?a=1", headers=page)
    assert (led.status_code, led.location) == (303, "/account/confirm?assurance=2&next=%2Fpayouts%3Fa%3D1")
    assert led.headers["Cache-Control"] == "no-store"
    sent = weak.post("/payouts", headers={"Sec-Fetch-Mode": "navigate", "Referer": "http://localhost:8000/form?b=2"})
    assert (sent.status_code, sent.location) == (303, "/account/confirm?assurance=2&next=%2Fform%3Fb%3D2")
    assert weak.post("/payouts", headers=page).status_code == 403
    assert app.test_client().get("/payouts", headers=page).location == "/account/login?next=%2Fpayouts"
    for level in (0, 4, "2"):
        with pytest.raises(ValueError, match="no assurance level"):
            assurance_required(level)


def test_two_requests_in_one_context_of_the_app_have_their_own_users():
    app, _ = new_app()
    app.get("/")(lambda: current_user.name)
    with app.app_context():
        for name in ("Ada", "Bob"):
            assert app.test_client(user=made_up_user(name)).get("/").text == name
        assert app.test_client().get("/").text == ""


def test_templates_have_the_user():
    app, _ = new_app()
    app.get("/")(lambda: flask.render_template_string("{{ current_user.name }}"))
    page = app.test_client(user=made_up_user("Zoë <b>")).get("/")
    assert page.text == "Zoë &lt;b&gt;"
    assert page.headers["Cache-Control"] == "no-store"


def test_the_app_gives_its_own_object_for_a_user():
    app, handstamp = new_app()
    rows = {}

    @handstamp.user_loader
    def load(user):
        return rows.get(user.id)

    app.get("/")(login_required(lambda: current_user["row"] + handstamp_user().name))
    ada = made_up_user("Ada")
    client = app.test_client(user=ada)
    assert client.get("/").status_code == 403, "not a redirect to sign in: the user is signed in"
    rows[ada.id] = {"row": "the row of "}
    assert client.get("/").text == "the row of Ada"


def test_flask_login_takes_the_user():
    app, handstamp = new_app()
    login_manager = LoginManager(app)
    login_manager.login_view = "handstamp.login"
    login_manager.request_loader(handstamp.request_loader)
    app.get("/")(flask_login_required(lambda: flask_login_user.name))
    ada = app.test_client(user=made_up_user("Ada")).get("/")
    assert (ada.text, ada.headers["Cache-Control"]) == ("Ada", "no-store")
    anonymous = app.test_client().get("/?a=1")
    assert (anonymous.status_code, anonymous.location) == (302, "/account/login?next=%2F%3Fa%3D1")


def test_links_are_built_without_a_request_and_a_wrong_one_is_an_error():
    app, _ = new_app(HANDSTAMP_ORIGINS=["https://other.example.com"])
    with app.test_request_context(), pytest.raises(Exception, match=r"handstamp\.nothing"):
        flask.url_for("handstamp.nothing")
    with app.test_request_context(base_url="https://other.example.com"):
        expected = "http://localhost:8000/account/register?next=https%3A%2F%2Fother.example.com%2Fme"
        assert flask.url_for("handstamp.register", next="/me") == expected
        assert flask.url_for("handstamp.logout") == "http://localhost:8000/account/logout"


def test_settings_are_checked_when_the_app_is_made():
    with pytest.raises(SettingsError, match="HANDSTAMP_URL is not set"):
        Handstamp(flask.Flask(__name__))
    with pytest.raises(SettingsError, match="must have no path"):
        new_app(HANDSTAMP_ORIGINS="http://localhost:8000/app")
    with pytest.raises(SettingsError, match="no setting HANDSTAMP_GROUP"):
        new_app(HANDSTAMP_GROUP="staff")


def test_an_app_without_the_extension_says_what_is_missing():
    app = flask.Flask(__name__)
    app.testing = True
    app.get("/")(lambda: current_user.name)
    with pytest.raises(RuntimeError, match=r"Handstamp\(app\) was not called"):
        app.test_client().get("/")


def test_an_asynchronous_view_is_guarded_too():
    app, _ = new_app()

    async def view():
        return current_user.name

    pytest.importorskip("asgiref")
    app.get("/")(login_required(view))
    assert app.test_client(user=made_up_user("Ada")).get("/").text == "Ada"
    assert app.test_client().get("/").status_code == 401


def test_a_view_decides_about_private_caches():
    app, _ = new_app()

    @app.get("/<path:value>")
    @login_required
    def view(value):
        return "x", {"Cache-Control": value, "Vary": "Accept"}

    client = app.test_client(user=made_up_user())
    assert client.get("/private, max-age=60").headers["Cache-Control"] == "private, max-age=60"
    page = client.get("/public, max-age=60")
    assert (page.headers["Cache-Control"], page.headers.getlist("Vary")) == ("no-store", ["Accept, Cookie"])
