"""The app of the tests in Flask."""

import os

import waitress
from flask import Flask, jsonify, request, session, url_for

from handstamp.flask import Handstamp, assurance_required, current_user, group_required, login_required

app = Flask(__name__)
app.secret_key = "of the tests"
Handstamp(app)


@app.route("/public", methods=["GET", "POST"])
def public():
    request.get_data()
    return jsonify(name=current_user.name if current_user.is_authenticated else None, email=current_user.email)


@app.get("/plain")
def plain():
    return "plain"


@app.get("/me")
@login_required
def me():
    user = current_user
    shown = {"id": user.id, "name": user.name, "email": user.email, "groups": user.groups, "session": user.session_id}
    return jsonify(**shown, old=user.legacy_id)


@app.get("/staff")
@group_required("staff")
def staff():
    return "staff"


@app.get("/payouts")
@assurance_required(2)
def payouts():
    return "payouts"


@app.post("/form")
@login_required
def form():
    return "sent"


@app.get("/note")
def note():
    return jsonify(note=session.get("note"))


@app.post("/note")
def write_note():
    session["note"] = request.form["note"]
    return "written"


@app.get("/links")
def links():
    return jsonify(login=url_for("handstamp.login", next="/me?a=1&b=2"), account=url_for("handstamp.account"))


if __name__ == "__main__":
    waitress.serve(app, listen=os.environ["LISTEN"])
