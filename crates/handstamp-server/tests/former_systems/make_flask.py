#!/usr/bin/env python3
"""Makes the databases of two Flask apps, as SQL, for tests/stories/import_from.rs: make_flask.py FOLDER.

The one has a model as the guides of Flask-SQLAlchemy write it, with hashes of werkzeug; it is written for PostgreSQL as well. The
other one is that of Flask-Security, with roles. `script/former-systems` installs what this needs.
"""

import datetime
import pathlib
import sqlite3
import sys
import tempfile

import flask
import flask_security
import sqlalchemy
from flask_security.models import fsqla_v3
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects import postgresql
from werkzeug.security import generate_password_hash

PASSWORD = "plum-octave-harbour"
# The key of the HMAC whose hash Flask-Security stores.
SALT = "146585145368132386173505678016728509634"
CREATED = datetime.datetime(2021, 3, 4, 5, 6, 7, 890000)
# A small cost, since debug builds are slow. The vectors of the hashes have the defaults.
METHODS = ["scrypt:1024:8:1", "pbkdf2:sha256:1000"]


def dump(file, path):
    lines = sqlite3.connect(file).iterdump()
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def app_at(file):
    app = flask.Flask("example")
    app.config |= {"SQLALCHEMY_DATABASE_URI": f"sqlite:///{file}", "SECRET_KEY": "only for the fixture"}
    return app


def plain(folder, file):
    app, db = app_at(file), SQLAlchemy()

    class User(db.Model):
        id = db.Column(db.Integer, primary_key=True)
        username = db.Column(db.String(64), unique=True)
        email = db.Column(db.String(120), unique=True)
        password_hash = db.Column(db.String(256))
        email_confirmed = db.Column(db.Boolean, nullable=False, default=False)
        created_at = db.Column(db.DateTime, nullable=False)
        about_me = db.Column(db.Text)

    db.init_app(app)
    people = [
        ("ada", "Ada@Example.com", generate_password_hash(PASSWORD, METHODS[0]), True),
        ("bob", "bob@example.com", generate_password_hash(PASSWORD, METHODS[1]), False),
        ("carol", "carol@example.com", None, True),
        ("nobody", None, generate_password_hash(PASSWORD, METHODS[1]), False),
    ]
    with app.app_context():
        db.create_all()
        for name, email, hash, confirmed in people:
            fields = {"username": name, "email": email, "password_hash": hash, "email_confirmed": confirmed}
            db.session.add(User(**fields, created_at=CREATED, about_me="It's me"))
        db.session.commit()
        dialect = postgresql.dialect()
        statements = [sqlalchemy.schema.CreateTable(User.__table__).compile(dialect=dialect)]
        for user in db.session.scalars(db.select(User).order_by(User.id)):
            values = {column.name: getattr(user, column.name) for column in User.__table__.columns}
            insert = sqlalchemy.insert(User).values(values)
            statements.append(insert.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    texts = [str(statement).strip() + ";\n" for statement in statements]
    (folder / "flask_postgres.sql").write_text("".join(texts), encoding="utf-8")
    dump(file, folder / "flask.sql")


def security(folder, file):
    app, db = app_at(file), SQLAlchemy()
    app.config |= {
        "SECURITY_PASSWORD_SALT": SALT,
        "SECURITY_PASSWORD_HASH": "bcrypt",
        "SECURITY_PASSWORD_HASH_OPTIONS": {"bcrypt": {"rounds": 4}},
        "SECURITY_PASSWORD_SCHEMES": ["bcrypt"],
        "SECURITY_PASSWORD_COMPLEXITY_CHECKER": None,
        "SECURITY_CONFIRMABLE": True,
        "SECURITY_TRACKABLE": True,
        "SECURITY_EMAIL_VALIDATOR_ARGS": {"check_deliverability": False},
    }
    db.init_app(app)
    fsqla_v3.FsModels.set_db_info(db)

    class Role(db.Model, fsqla_v3.FsRoleMixin):
        pass

    class User(db.Model, fsqla_v3.FsUserMixin):
        pass

    store = flask_security.SQLAlchemyUserDatastore(db, User, Role)
    flask_security.Security(app, store)
    with app.app_context():
        db.create_all()
        for name in ["staff", "Content editors", "writers"]:
            store.create_role(name=name)
        for number, (email, roles, active) in enumerate(
            [("ada@example.com", ["staff", "Content editors"], True), ("bob@example.com", ["writers"], False)], 1
        ):
            hash = flask_security.hash_password(PASSWORD)
            uniquifier = f"{number:032x}"
            user = store.create_user(email=email, password=hash, roles=roles, active=active, fs_uniquifier=uniquifier)
            user.confirmed_at = CREATED if active else None
            user.create_datetime = user.update_datetime = CREATED
        db.session.commit()
    dump(file, folder / "flask_security.sql")


def main():
    folder = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as made:
        plain(folder, pathlib.Path(made) / "plain.db")
        security(folder, pathlib.Path(made) / "security.db")


main()
