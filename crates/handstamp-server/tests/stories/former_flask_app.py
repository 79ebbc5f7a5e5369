"""An app with Flask-Login: before the move with its own sign-in, afterwards behind Handstamp."""

import os
import sys

from flask import Flask, redirect, request
from flask_login import LoginManager, UserMixin, current_user, login_user
from werkzeug.security import generate_password_hash

app = Flask(__name__)
app.secret_key = os.environ["FORMER_SECRET"]
logins = LoginManager(app)


class User(UserMixin):
    def __init__(self, id):
        self.id = id


@logins.user_loader
def load(id):
    return User(id)


@app.post("/login")
def login():
    login_user(User(request.form["id"]))
    return redirect("/notes")


@app.get("/notes")
def notes():
    told = request.headers.get("Remote-User")
    return f"former {current_user.id}" if current_user.is_authenticated else f"user {told}"


if __name__ == "__main__":
    if sys.argv[1:] == ["hash"]:
        print(generate_password_hash("plum-octave-harbour"))
    else:
        host, port = os.environ["LISTEN"].split(":")
        print(f"listening on {host}:{port}", flush=True)
        app.run(host, int(port))
