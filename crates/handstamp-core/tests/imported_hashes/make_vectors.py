#!/usr/bin/env python3
"""Prints password hashes that the libraries of other systems made, one JSON object a line, for tests/imported_hashes.rs.

It needs the packages of requirements.txt and of package.json, and Debian's php-cli, ruby-devise and whois (mkpasswd). The
folder that is its argument has older versions: Werkzeug 2.2.3 and Django 4.2.30. `script/imported-hashes` installs all.
"""

import base64
import hashlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import unicodedata

import argon2
import bcrypt
import django.conf
import passlib.hash
from django.contrib.auth import hashers
from werkzeug.security import generate_password_hash

HERE = pathlib.Path(__file__).parent
PLAIN = "plum-octave-harbour"
NFC = "Größe-☃-한글"
NFD = unicodedata.normalize("NFD", NFC)
LONG = "0123456789" * 7 + "-ä-" + "abcdefghij" * 3
SHORT = ""
NUL = "plum\0octave"
PASSWORDS = [PLAIN, NFC, NFD, LONG, SHORT]


def vector(kind, hash, password, **more):
    print(json.dumps({"kind": kind, "hash": hash, "password": password, **more}))


def b64(data):
    return base64.b64encode(data).decode()


def run(command, given, **more):
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True, **more)
    return done.stdout.decode()


def werkzeug():
    for password in [*PASSWORDS, NUL]:
        for method in ["scrypt:1024:8:1", "pbkdf2:sha256:1000", "pbkdf2:sha1:1000", "pbkdf2:sha512:1000"]:
            vector("prefixed", generate_password_hash(password, method), password)
    vector("prefixed", generate_password_hash(PLAIN, "pbkdf2:sha256:50", salt_length=1), PLAIN)
    # The default of today.
    vector("prefixed", generate_password_hash(PLAIN), PLAIN)


def django_hashers():
    django.conf.settings.configure()

    class Scrypt(hashers.ScryptPasswordHasher):
        work_factor, parallelism = 2**8, 3

    class Argon2(hashers.Argon2PasswordHasher):
        memory_cost, parallelism = 256, 4

    class Bcrypt(hashers.BCryptPasswordHasher):
        rounds = 4

    class BcryptSha256(hashers.BCryptSHA256PasswordHasher):
        rounds = 4

    for password in [*PASSWORDS, NUL]:
        for made in [hashers.PBKDF2PasswordHasher(), hashers.PBKDF2SHA1PasswordHasher()]:
            vector("prefixed", made.encode(password, made.salt(), 1000), password)
        for made in [Scrypt(), Argon2(), BcryptSha256()]:
            vector("prefixed", made.encode(password, made.salt()), password)
        made = hashers.MD5PasswordHasher()
        vector("django", made.encode(password, made.salt()), password)
        if password != NUL:
            vector("prefixed", Bcrypt().encode(password, Bcrypt().salt()), password)
    # The memory of today's defaults.
    for made in [hashers.ScryptPasswordHasher(), hashers.Argon2PasswordHasher()]:
        vector("prefixed", made.encode(PLAIN, made.salt()), PLAIN)


def passlib_hashes():
    schemes = [
        passlib.hash.sha256_crypt.using(rounds=1000),
        passlib.hash.sha512_crypt.using(rounds=1001),
        passlib.hash.sha512_crypt.using(rounds=5000, salt_size=0),
        passlib.hash.sha256_crypt.using(rounds=5000, salt_size=7),
        passlib.hash.pbkdf2_sha1.using(rounds=100),
        passlib.hash.pbkdf2_sha256.using(rounds=100),
        passlib.hash.pbkdf2_sha512.using(rounds=100),
        passlib.hash.pbkdf2_sha256.using(rounds=100, salt_size=0),
        passlib.hash.argon2.using(type="I", rounds=2, memory_cost=64, parallelism=1),
        passlib.hash.argon2.using(type="D", rounds=1, memory_cost=64, parallelism=2),
        passlib.hash.argon2.using(type="ID", rounds=1, memory_cost=64, digest_size=20),
        passlib.hash.scrypt.using(rounds=8, block_size=4, parallelism=2),
        passlib.hash.bcrypt.using(rounds=4, ident="2a"),
        passlib.hash.bcrypt.using(rounds=4, ident="2y"),
        passlib.hash.bcrypt_sha256.using(rounds=4),
        passlib.hash.bcrypt_sha256.using(rounds=4, version=1),
    ]
    for password in PASSWORDS:
        for scheme in schemes:
            vector("prefixed", scheme.hash(password), password)
    # Padding bits that are set, which OpenBSD's bcrypt ignores.
    salt = bcrypt.gensalt(4).decode()
    made = bcrypt.hashpw(PLAIN.encode(), salt.encode()).decode()
    dirty = {".": "/", "O": "P", "e": "f", "u": "v"}[made[28]]
    vector("prefixed", made[:28] + dirty + made[29:], PLAIN)


def argon2_versions():
    for version in (16, 19):
        for kind in argon2.Type:
            if version == 19 or kind != argon2.Type.ID:
                made = argon2.low_level.hash_secret(PLAIN.encode(), b"saltsalt", 1, 64, 2, 24, kind, version)
                vector("prefixed", made.decode(), PLAIN)
    # Before version 19 there was no field for it.
    made = argon2.low_level.hash_secret(PLAIN.encode(), b"saltsalt", 1, 64, 2, 24, argon2.Type.I, 16).decode()
    vector("prefixed", made.replace("$v=16", ""), PLAIN)


def crypt():
    for password in PASSWORDS:
        for options in [["-m", "sha512crypt"], ["-m", "sha256crypt", "-R", "1234"], ["-m", "yescrypt", "-R", "1"],
                        ["-m", "bcrypt", "-R", "4"]]:
            vector("prefixed", run(["mkpasswd", "-s", *options], password.encode() + b"\n").strip(), password)
    vector("prefixed", run(["mkpasswd", "-s", "-m", "yescrypt"], PLAIN.encode() + b"\n").strip(), PLAIN)
    for cost in ("3", "4", "7"):
        vector("prefixed", run(["mkpasswd", "-s", "-m", "yescrypt", "-R", cost], PLAIN.encode() + b"\n").strip(), PLAIN)


def php():
    script = """
        $password = stream_get_contents(STDIN);
        echo password_hash($password, PASSWORD_BCRYPT, ['cost' => 4]), "\\n";
        echo password_hash($password, PASSWORD_ARGON2I, ['memory_cost' => 64, 'time_cost' => 2]), "\\n";
        echo password_hash($password, PASSWORD_ARGON2ID, ['memory_cost' => 64, 'time_cost' => 2]), "\\n";
    """
    for password in PASSWORDS:
        for made in run(["php", "-r", script], password.encode()).split():
            vector("prefixed", made, password)


def devise():
    script = """
        require 'active_support/all'
        require 'devise/encryptor'
        require 'ostruct'
        password = STDIN.read.force_encoding('UTF-8')
        puts Devise::Encryptor.digest(OpenStruct.new(pepper: ENV['PEPPER'], stretches: 4), password)
    """
    for pepper in ["", "f1ee3b1c8a"]:
        for password in PASSWORDS:
            made = run(["ruby", "-e", script], password.encode(), env={**os.environ, "PEPPER": pepper, "LC_ALL": "C.UTF-8"})
            vector("devise", made.strip(), password, pepper=pepper)


def keycloak():
    salt = bytes(range(16))
    for password in PASSWORDS:
        for algorithm, digest in {"pbkdf2": "sha1", "pbkdf2-sha256": "sha256", "pbkdf2-sha512": "sha512"}.items():
            # Keycloak before version 25 derives 64 bytes, whatever the digest.
            for length in (None, 64):
                made = hashlib.pbkdf2_hmac(digest, password.encode(), salt, 100, length)
                secret = {"value": b64(made), "salt": b64(salt), "additionalParameters": {}}
                credential = {"hashIterations": 100, "algorithm": algorithm, "additionalParameters": {}}
                vector("keycloak", json.dumps(secret), password, credential=json.dumps(credential))
        made = argon2.low_level.hash_secret_raw(password.encode(), salt, 2, 64, 1, 32, argon2.Type.ID)
        secret = {"value": b64(made), "salt": b64(salt), "additionalParameters": {}}
        more = {"hashLength": ["32"], "memory": ["64"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"]}
        credential = {"hashIterations": 2, "algorithm": "argon2", "additionalParameters": more}
        vector("keycloak", json.dumps(secret), password, credential=json.dumps(credential))


def aspnet():
    # .NET 8 hashes with SHA-512 and 100,000 iterations, and applications may choose any.
    for function, digest in enumerate(("sha1", "sha256", "sha512")):
        salt = bytes(range(function + 8))
        made = hashlib.pbkdf2_hmac(digest, NFC.encode(), salt, 100 + function, 32)
        head = struct.pack(">BIII", 1, function, 100 + function, len(salt))
        vector("aspnet", b64(head + salt + made), NFC)


def weak():
    for password in PASSWORDS:
        for digest in ("md5", "sha1", "sha256", "sha512"):
            vector("hex", hashlib.new(digest, password.encode()).hexdigest(), password)
    script = """
import json, sys
from werkzeug.security import generate_password_hash
import django.conf
django.conf.settings.configure()
from django.contrib.auth import hashers
for password in json.load(sys.stdin):
    for method in ("md5", "sha1", "sha256", "sha512"):
        print(json.dumps({"kind": "werkzeug", "hash": generate_password_hash(password, method), "password": password}))
    for made in (hashers.SHA1PasswordHasher(), hashers.UnsaltedSHA1PasswordHasher(), hashers.UnsaltedMD5PasswordHasher()):
        kind = "hex" if made.algorithm == "unsalted_md5" else "django"
        print(json.dumps({"kind": kind, "hash": made.encode(password, made.salt()), "password": password}))
    """
    older = {**os.environ, "PYTHONPATH": sys.argv[1]}
    print(run([sys.executable, "-W", "ignore", "-c", script], json.dumps(PASSWORDS).encode(), env=older), end="")


for make in [werkzeug, django_hashers, passlib_hashes, argon2_versions, crypt, php, devise, keycloak, aspnet, weak]:
    make()
    sys.stdout.flush()
print(run(["node", HERE / "make_vectors.mjs"], json.dumps(PASSWORDS).encode()), end="")
