"""Greets the signed-in user by name, with Flask-Login and Flask-SQLAlchemy."""

import os
from datetime import timedelta
from pathlib import Path

import click
from flask import Flask, abort, redirect, render_template, request
from flask_login import LoginManager, UserMixin, login_required, login_user, logout_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.security import generate_password_hash

DATA = Path(os.environ["DATA"])


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
login_manager = LoginManager()
login_manager.login_view = "/account/login"

app = Flask(__name__)
app.config.update(
    SECRET_KEY=(DATA / "key").read_text(),
    SQLALCHEMY_DATABASE_URI=f"sqlite:///{DATA / 'peer.db'}",
    REMEMBER_COOKIE_DURATION=timedelta(days=30),
)
db.init_app(app)
login_manager.init_app(app)


@event.listens_for(Engine, "connect")
def on_connect(connection, record):
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


class User(UserMixin, db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str] = mapped_column(unique=True)
    password: Mapped[str]


@login_manager.user_loader
def load_user(user_id):
    return db.session.get(User, int(user_id))


@app.get("/account")
@login_required
def account():
    return render_template("account.html")


# Without protection against forgery: the load sends no tokens.
@app.post("/account/register")
def register():
    form = request.form
    user = User(name=form["name"], email=form["email"], password=generate_password_hash(form["password"]))
    db.session.add(user)
    try:
        db.session.commit()
    except IntegrityError:
        abort(409)
    login_user(user, remember=True)
    return redirect("/account", code=303)


@app.post("/account/logout")
def logout():
    logout_user()
    return redirect("/")


# No password verifies against `!`.
FILL = """
WITH RECURSIVE numbers (number) AS (
    SELECT count(*) + 1 FROM user
    UNION ALL
    SELECT number + 1 FROM numbers WHERE number < :users
)
INSERT INTO user (name, email, password)
SELECT 'Person ' || number, 'person' || number || '@example.com', '!' FROM numbers WHERE number <= :users
"""


@app.cli.command()
@click.argument("users", type=int)
def fill(users):
    """Adds accounts until there are USERS."""
    db.create_all()
    db.session.execute(text(FILL), {"users": users})
    db.session.commit()
