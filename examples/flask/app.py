"""A Flask app behind a reverse proxy that asks Handstamp. It trusts only the signed assertion, not its network.

    pip install -r requirements.txt
    HANDSTAMP_URL=http://127.0.0.1:8080 HANDSTAMP_PUBLIC_URL=https://app.example.com python app.py
"""

import os

import flask
import jwt
import waitress

# The URL at which this app reaches Handstamp, to get its keys; and Handstamp's public_url, the issuer of assertions.
HANDSTAMP_URL = os.environ["HANDSTAMP_URL"].rstrip("/")
ISSUER = os.environ.get("HANDSTAMP_PUBLIC_URL", HANDSTAMP_URL).rstrip("/")
# The URL at which browsers reach this app, if it differs: an assertion is valid for one origin.
APP_URL = os.environ.get("APP_URL", ISSUER).rstrip("/")
# The group whose members may use this app; without it all users may.
GROUP = os.environ.get("GROUP")
KEYS = jwt.PyJWKClient(HANDSTAMP_URL + "/account/jwks.json", lifespan=300)

app = flask.Flask(__name__)


@app.before_request
def find_out_who_it_is():
    token = flask.request.headers.get("Handstamp-Assertion", "")
    try:
        key = KEYS.get_signing_key_from_jwt(token).key
        required = {"require": ["aud", "exp", "iss", "sub"]}
        user = jwt.decode(token, key, algorithms=["EdDSA"], audience=APP_URL, issuer=ISSUER, options=required)
    except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
        # The signature is valid, so the settings of this app or of the proxy are wrong.
        told = jwt.decode(token, options={"verify_signature": False})
        expected = f"APP_URL is {APP_URL} and HANDSTAMP_PUBLIC_URL is {ISSUER}"
        app.logger.error("the assertion is for %s from %s, but %s", told["aud"], told["iss"], expected)
        flask.abort(500)
    except jwt.PyJWKClientConnectionError as error:
        app.logger.error("cannot get the keys from %s: %s", HANDSTAMP_URL, error)
        flask.abort(503)
    except jwt.PyJWTError:
        flask.abort(401)
    if not is_for(user):
        flask.abort(403)
    # Link your own rows to users by user["sub"], which never changes. Never link rows by user["email"]: it is missing until it
    # is verified, and users can change it. Grant permissions by user["groups"].
    flask.g.user = user


def is_for(user):
    """Whether this user may use this app. A client that reaches Handstamp can ask it without a group, so the app checks."""
    groups, required = set(user["groups"]), user.get("required_groups")
    return (not GROUP or GROUP in groups) and (not required or bool(groups & set(required)))


@app.get("/")
def home():
    user = flask.g.user
    page = "<!doctype html><title>Hello</title><p>Hello, {{ user.name }} {% if user.email %}({{ user.email }}){% endif %}</p>"
    page += "<form method=post action=/account/logout><button>Sign out</button></form>"
    return flask.render_template_string(page, user=user)


if __name__ == "__main__":
    waitress.serve(app, listen=os.environ.get("LISTEN", "127.0.0.1:3000"))
