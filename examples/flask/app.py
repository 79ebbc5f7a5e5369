"""A Flask app behind a proxy and Handstamp, which need not trust its network: it believes the signed assertion only.

    pip install -r requirements.txt
    APP_URL=https://app.example.com HANDSTAMP_URL=http://127.0.0.1:8080 HANDSTAMP_PUBLIC_URL=https://app.example.com python app.py
"""

import os

import flask
import jwt
import waitress

# Where browsers reach this app: an assertion is for one origin.
APP_URL = os.environ["APP_URL"]
# Who signs: Handstamp's public_url, and where it is reached from here.
ISSUER = os.environ["HANDSTAMP_PUBLIC_URL"]
KEYS = jwt.PyJWKClient(os.environ["HANDSTAMP_URL"] + "/auth/jwks.json", lifespan=300)

app = flask.Flask(__name__)


@app.before_request
def find_out_who_it_is():
    token = flask.request.headers.get("Handstamp-Assertion", "")
    try:
        key = KEYS.get_signing_key_from_jwt(token).key
        required = {"require": ["aud", "exp", "iss", "sub"]}
        flask.g.user = jwt.decode(token, key, algorithms=["EdDSA"], audience=APP_URL, issuer=ISSUER, options=required)
    except jwt.PyJWTError:
        flask.abort(401)


@app.get("/")
def home():
    user = flask.g.user
    page = "<!doctype html><title>Hello</title><p>Hello, {{ user.name }} ({{ user.email }})</p>"
    page += "<form method=post action=/account/logout><button>Sign out</button></form>"
    return flask.render_template_string(page, user=user)


if __name__ == "__main__":
    waitress.serve(app, listen=os.environ.get("LISTEN", "127.0.0.1:3000"))
