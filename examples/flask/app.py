"""A Flask app behind a proxy and Handstamp, which need not trust its network: it believes the signed assertion only.

    pip install -r requirements.txt
    HANDSTAMP_URL=http://127.0.0.1:8080 HANDSTAMP_PUBLIC_URL=https://app.example.com python app.py
"""

import os

import flask
import jwt
import waitress

# Where Handstamp is reached from here, for its keys; and its public_url, which signs.
HANDSTAMP_URL = os.environ["HANDSTAMP_URL"].rstrip("/")
ISSUER = os.environ.get("HANDSTAMP_PUBLIC_URL", HANDSTAMP_URL).rstrip("/")
# Where browsers reach this app, if that is elsewhere: an assertion is for one origin.
APP_URL = os.environ.get("APP_URL", ISSUER).rstrip("/")
# The group that this app is for, if it is not for everybody.
GROUP = os.environ.get("GROUP")
KEYS = jwt.PyJWKClient(HANDSTAMP_URL + "/auth/jwks.json", lifespan=300)

app = flask.Flask(__name__)


@app.before_request
def find_out_who_it_is():
    token = flask.request.headers.get("Handstamp-Assertion", "")
    try:
        key = KEYS.get_signing_key_from_jwt(token).key
        required = {"require": ["aud", "exp", "iss", "sub"]}
        user = jwt.decode(token, key, algorithms=["EdDSA"], audience=APP_URL, issuer=ISSUER, options=required)
    except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
        # The signature is good: the settings of this app or of the proxy are wrong.
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
    # user["sub"] never changes: find rows of your own by it. Never link rows by user["email"]: it is missing until it is verified,
    # and people can change it. Give rights by user["groups"].
    flask.g.user = user


def is_for(user):
    """Whether this app is for this user. A client that reaches Handstamp can ask it without a group, so the app checks."""
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
