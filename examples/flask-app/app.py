"""A Flask app with users, and no line about passwords or cookies."""

from flask import Flask, render_template_string

from handstamp.flask import Handstamp, current_user, group_required, login_required

app = Flask(__name__)
handstamp = Handstamp(app)

PAGE = """<!doctype html>
<title>Packages</title>
<nav>
  <a href="/">Packages</a>
  {% if current_user.is_authenticated %}
  <a href="/welcome">{{ current_user.name }}</a>
  <a href="{{ url_for('handstamp.account') }}">Account</a>
  <a href="{{ url_for('handstamp.logout', next='/') }}">Sign out</a>
  {% else %}
  <a href="{{ url_for('handstamp.login', next='/welcome') }}">Sign in</a>
  <a href="{{ url_for('handstamp.register', next='/welcome') }}">Register</a>
  {% endif %}
</nav>
<h1>{{ heading }}</h1>
"""


@app.get("/")
def home():
    return render_template_string(PAGE, heading="Packages")


@app.get("/welcome")
@login_required
def welcome():
    return render_template_string(PAGE, heading=f"Welcome, {current_user.name}")


@app.get("/orders")
@group_required("staff")
def orders():
    return render_template_string(PAGE, heading="Orders")
