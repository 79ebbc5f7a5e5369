// Prints cookies and stored sessions of express-session and better-auth as a JSON list of cases for tests/legacy_cookies.rs.
//
// Usage: node node_cookies.js, with the packages of package.json

import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import express from "express";
import session from "express-session";
import passport from "passport";

const SECRET = "Zr8vB2nQ5tW9yC3fH6kM1pS4uX7aD0gJ";
const OLD_SECRET = "b7e151628aed2a6abf7158809cf4f3c762e7160f";
const now = () => Math.floor(Date.now() / 1000);
const cases = [];

function add(name, kind, secrets, cookie, expect, more = {}) {
    const { settings, ...rest } = more;
    cases.push({ name, settings: { kind, secrets, ...settings }, cookie, now: now(), expect, ...rest });
}

/// The value of the cookie of this name that an answer sets.
function cookieOf(headers, name) {
    const line = headers.getSetCookie().find((line) => line.startsWith(`${name}=`));
    return line.slice(name.length + 1).split(";")[0];
}

/// The cookie and the stored session after a request to an application with these options.
async function expressSession(options, act) {
    const store = new session.MemoryStore();
    const app = express();
    app.use(session({ secret: SECRET, resave: false, saveUninitialized: false, store, ...options }));
    app.use(passport.session());
    app.get("/", (request, response, next) => act(request, (error) => (error ? next(error) : response.send("in"))));
    app.get("/user", (request, response) => response.json(request.user ?? null));
    const server = app.listen(0, "127.0.0.1");
    await new Promise((listening) => server.once("listening", listening));
    const url = `http://127.0.0.1:${server.address().port}`;
    const cookie = cookieOf((await fetch(`${url}/`)).headers, "connect.sid");
    const user = await (await fetch(`${url}/user`, { headers: { cookie: `connect.sid=${cookie}` } })).json();
    server.close();
    const [[key, content]] = Object.entries(store.sessions);
    return { cookie, user, stored: { key, content, expires_at: null } };
}

async function expressCases() {
    const kind = "express-session";
    passport.serializeUser((user, done) => done(null, user.id));
    passport.deserializeUser((id, done) => done(null, { id }));
    const signIn = (request, done) => request.login({ id: 42 }, done);
    const session = (user) => ({ user: { id: user }, issued_at: null, expires_at: null });

    const first = await expressSession({}, signIn);
    if (first.user.id !== 42) throw new Error("Express does not know the user");
    add(`${kind}: Passport`, kind, [SECRET], first.cookie, session("42"), { stored: first.stored });
    add(`${kind}: another secret`, kind, [OLD_SECRET], first.cookie, "bad_signature");
    add(`${kind}: another key`, kind, [SECRET], first.cookie, "no_user", {
        stored: first.stored,
        settings: { user_key: "user.id" },
    });
    const expires_at = now() + 600;
    add(`${kind}: the store has an expiry`, kind, [SECRET], first.cookie, { ...session("42"), expires_at }, {
        stored: { ...first.stored, expires_at },
        same_session_as: `${kind}: Passport`,
    });

    const aged = await expressSession({ cookie: { maxAge: 3_600_000 } }, signIn);
    const expires = Date.parse(JSON.parse(aged.stored.content).cookie.expires);
    const times = { issued_at: Math.floor(expires / 1000) - 3600, expires_at: Math.floor(expires / 1000) };
    add(`${kind}: an hour`, kind, [SECRET], aged.cookie, { ...session("42"), ...times }, { stored: aged.stored });
    for (const [name, seconds] of [["earlier", -60], ["later", 60]]) {
        const stored = { ...aged.stored, expires_at: times.expires_at + seconds };
        const earliest = { ...times, expires_at: Math.min(times.expires_at, stored.expires_at) };
        add(`${kind}: an hour, ${name} in the store`, kind, [SECRET], aged.cookie, { ...session("42"), ...earliest }, { stored });
    }

    const old = await expressSession({ secret: OLD_SECRET }, signIn);
    add(`${kind}: fallback`, kind, [SECRET, OLD_SECRET], old.cookie, session("42"), { stored: old.stored });

    const plain = await expressSession({ genid: () => "a.b/c é" }, (request, done) => {
        request.session.userId = "u-7";
        done();
    });
    add(`${kind}: plain key, odd id`, kind, [SECRET], plain.cookie, session("u-7"), {
        stored: plain.stored,
        settings: { user_key: "userId" },
    });
    add(`${kind}: no user`, kind, [SECRET], plain.cookie, "no_user", { stored: plain.stored });
}

async function betterAuthCases() {
    const kind = "better-auth";
    for (const [name, secrets, secret, baseURL, prefix] of [
        ["", [SECRET], SECRET, "http://localhost:3000", ""],
        [": https", [SECRET], SECRET, "https://app.example.com", "__Secure-"],
        [": fallback", [SECRET, OLD_SECRET], OLD_SECRET, "http://localhost:3000", ""],
    ]) {
        const tables = { user: [], session: [], account: [], verification: [] };
        const auth = betterAuth({
            secret,
            baseURL,
            emailAndPassword: { enabled: true },
            database: memoryAdapter(tables),
            telemetry: { enabled: false },
        });
        const body = { name: "Ada", email: "ada@example.com", password: "correct horse battery" };
        const answer = await auth.api.signUpEmail({ body, asResponse: true });
        const cookieName = `${prefix}better-auth.session_token`;
        const cookie = cookieOf(answer.headers, cookieName);
        const known = await auth.api.getSession({ headers: new Headers({ cookie: `${cookieName}=${cookie}` }) });
        const [row] = tables.session;
        if (known.user.id !== row.userId) throw new Error("better-auth does not know the user");
        const expires_at = Math.floor(row.expiresAt.getTime() / 1000);
        const stored = { key: row.token, content: row.userId, expires_at };
        const expect = { user: { id: row.userId }, issued_at: null, expires_at };
        add(`${kind}${name}`, kind, secrets, cookie, expect, { stored, cookie_name: cookieName });
        if (secret === SECRET) {
            add(`${kind}${name}, another secret`, kind, [OLD_SECRET], cookie, "bad_signature");
            const endless = { ...stored, expires_at: null };
            add(`${kind}${name}, without expiry`, kind, [SECRET], cookie, "no_expiry", { stored: endless });
        }
    }
}

await expressCases();
await betterAuthCases();
console.log(JSON.stringify(cases, null, 1));
process.exit();
