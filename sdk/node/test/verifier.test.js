// The verification in Node.js: claims, keys and settings. The keys come from a real server, which counts its requests.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, beforeEach, mock, test } from "node:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { accountUrl, readSettings, Verifier } from "handstamp";
import { headersFor, madeUpUser } from "handstamp/testing";
import { bindSession, cacheControl, isNavigation, refusal, vary } from "../dist/web.js";

const SITE = "https://app.example.com";
const pairs = new Map();
let server, url, requests, answer, lines, verifier;

async function addKey(id) {
  pairs.set(id, await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true }));
}

async function jwks() {
  const keys = [...pairs].map(async ([kid, pair]) => ({ ...(await exportJWK(pair.publicKey)), kid, alg: "EdDSA" }));
  return JSON.stringify({ keys: await Promise.all(keys) });
}

before(async () => {
  server = createServer(async (request, response) => {
    requests += 1;
    response.writeHead(request.url === "/account/jwks.json" ? 200 : 404).end(answer ?? (await jwks()));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${server.address().port}`;
});

after(() => server.close());

beforeEach(async () => {
  pairs.clear();
  await addKey("a");
  [requests, answer, lines] = [0, undefined, []];
  verifier = new Verifier(readSettings({ url, publicUrl: SITE }), (line) => lines.push(line));
});

async function sign(changes = {}, kid = "a") {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: SITE, aud: SITE, sub: "u", sid: "s", iat: now - 30, exp: now + 60, ...changes };
  const { privateKey } = pairs.get(kid) ?? (await generateKeyPair("EdDSA", { crv: "Ed25519" }));
  return new SignJWT(claims).setProtectedHeader({ alg: "EdDSA", kid }).sign(privateKey);
}

const refused = (status) => (error) => error.status === status && error.statusCode === status;

test("the keys are fetched once, and again after their lifetime", async () => {
  for (let each = 0; each < 5; each += 1) {
    assert.equal((await verifier.verify(await sign())).id, "u");
  }
  assert.equal(requests, 1);
  mock.timers.enable({ apis: ["Date"], now: Date.now() });
  try {
    mock.timers.tick(300_001);
    await verifier.verify(await sign());
    assert.equal(requests, 2);
  } finally {
    mock.timers.reset();
  }
});

test("unknown keys lead to one fetch a minute", async () => {
  await verifier.verify(await sign());
  mock.timers.enable({ apis: ["Date"], now: Date.now() });
  try {
    mock.timers.tick(60_001);
    await addKey("b");
    assert.equal((await verifier.verify(await sign({}, "b"))).id, "u");
    assert.equal(requests, 2);
    for (let each = 0; each < 50; each += 1) {
      await assert.rejects(verifier.verify(await sign({}, `forged-${each}`)), refused(401));
    }
    assert.equal(requests, 2);
  } finally {
    mock.timers.reset();
  }
});

test("keys that cannot be fetched are a fault of the service", async () => {
  for (const malformed of ["", "[]", "{}", '{"keys": {}}']) {
    answer = malformed;
    await assert.rejects(verifier.verify(await sign()), refused(503));
  }
  assert.match(lines[0], new RegExp(`cannot get the keys of Handstamp from ${url}/account/jwks.json`));
  answer = undefined;
  assert.equal((await verifier.verify(await sign())).id, "u");
});

for (const claim of ["aud", "exp", "iat", "iss", "sid", "sub"]) {
  test(`the claim ${claim} is required`, async () => {
    await assert.rejects(verifier.verify(await sign({ [claim]: undefined })), refused(401));
  });
}

test("the clock may differ by half a minute", async () => {
  const now = Math.floor(Date.now() / 1000);
  await verifier.verify(await sign({ exp: now - 25 }));
  await verifier.verify(await sign({ nbf: now + 25 }));
  await assert.rejects(verifier.verify(await sign({ exp: now - 35 })), refused(401));
  await assert.rejects(verifier.verify(await sign({ nbf: now + 35 })), refused(401));
});

test("another audience or issuer is an error of configuration, with one line", async () => {
  for (const changes of [{ aud: `${SITE}/` }, { aud: [SITE] }, { aud: "https://other" }, { iss: "https://other" }]) {
    await assert.rejects(verifier.verify(await sign(changes)), refused(500));
  }
  assert.equal(lines.length, 4);
  assert.equal(lines[2], `the assertion is for https://other, but this app is at ${SITE} (HANDSTAMP_ORIGINS)`);
  assert.equal(lines[3], `the assertion is from https://other, but HANDSTAMP_PUBLIC_URL is ${SITE}`);
  await assert.rejects(verifier.verify(await sign({ aud: "https://other" }, "forged")), refused(401));
});

test("only the algorithm of Handstamp is accepted", async () => {
  const rsa = await generateKeyPair("RS256", { extractable: true });
  pairs.set("rsa", rsa);
  const now = Math.floor(Date.now() / 1000);
  const claims = new SignJWT({ iss: SITE, aud: SITE, sub: "u", sid: "s", iat: now, exp: now + 60 });
  const assertion = await claims.setProtectedHeader({ alg: "RS256", kid: "rsa" }).sign(rsa.privateKey);
  await assert.rejects(verifier.verify(assertion), refused(401));
});

test("the groups that the proxy or the app requires are checked", async () => {
  const groups = ["staff"];
  assert.deepEqual((await verifier.verify(await sign({ groups, required_groups: ["admins", "staff"] }))).groups, groups);
  for (const required_groups of [["admins"], []]) {
    await assert.rejects(verifier.verify(await sign({ groups, required_groups })), refused(403));
  }
  const ours = new Verifier(readSettings({ url, publicUrl: SITE, groups: "admins" }));
  await assert.rejects(ours.verify(await sign({ groups })), refused(403));
});

test("a malformed claim is refused", async () => {
  for (const changes of [{ sub: "" }, { groups: "staff" }, { groups: [1] }, { email: 1 }, { sid: 1 }, { amr: {} }, { acr: "high" }]) {
    await assert.rejects(verifier.verify(await sign(changes)), refused(401));
  }
});

test("all claims are there", async () => {
  const more = { sid: "s", amr: ["pwd"], acr: "2", auth_time: 1, name: "Zoë", email: "z@example.com", email_verified: true };
  const user = await verifier.verify(await sign({ ...more, groups: ["a"], legacy_id: 7 }));
  const expected = {
    id: "u",
    name: "Zoë",
    email: "z@example.com",
    emailVerified: true,
    groups: ["a"],
    sessionId: "s",
    methods: ["pwd"],
    assurance: 2,
    authenticatedAt: new Date(1000),
    legacyId: "7",
    requiredGroups: null,
    isDoctor: false,
  };
  assert.deepEqual(user, expected);
  for (const without of [{}, { legacy_id: null }]) {
    assert.equal((await verifier.verify(await sign(without))).legacyId, null);
  }
});

test("a request without an assertion is anonymous", async () => {
  assert.equal(await verifier.userOf({ headers: {} }), null);
  assert.equal(await verifier.userOf({ headers: { "handstamp-assertion": "" } }), null);
  await assert.rejects(verifier.userOf({ headers: { "handstamp-assertion": "x" } }), refused(401));
});

test("a test signs in without a server", async () => {
  const user = madeUpUser({
    groups: ["staff"],
    requiredGroups: ["staff"],
    methods: ["pwd", "otp", "mfa"],
    assurance: 2,
    authenticatedAt: new Date(1_700_000_000_000),
  });
  const headers = await headersFor(user, { verifier });
  assert.deepEqual(await verifier.userOf({ headers }), user);
  assert.equal(requests, 0);
  const other = new Verifier(readSettings({ url, publicUrl: SITE }), () => {});
  await assert.rejects(other.userOf({ headers }), refused(401));
});

test("settings are checked", () => {
  const read = (options) => () => readSettings(options, {});
  assert.throws(read({}), /HANDSTAMP_URL is not set/);
  for (const wrong of ["localhost", "//a", "ftp://a", "http://", "http://u@a", "http://a?b", "http://a#b"]) {
    assert.throws(read({ url: wrong }), /HANDSTAMP_URL is/);
    assert.throws(read({ url: "http://a", publicUrl: wrong }), /HANDSTAMP_PUBLIC_URL is/);
    assert.throws(read({ url: "http://a", origins: wrong }), /HANDSTAMP_ORIGINS is/);
  }
  assert.throws(read({ url: "http://a", origins: "http://a/b" }), /must have no path/);
  assert.throws(read({ url: "http://a", group: "staff" }), /there is no setting group/);
  assert.throws(() => readSettings({}, { HANDSTAMP_URL: "http://a", HANDSTAMP_GROUP: "staff" }), /HANDSTAMP_GROUP/);
  const environment = { HANDSTAMP_URL: "http://b/", HANDSTAMP_PUBLIC_URL: "https://B:443", HANDSTAMP_ORIGINS: "", HANDSTAMP_GROUPS: "a, b" };
  const expected = { url: "http://b", publicUrl: "https://b", origins: ["https://b"], groups: ["a", "b"] };
  assert.deepEqual(readSettings({}, environment), expected);
});

test("links and answers for anonymous users", () => {
  const settings = readSettings({ url: SITE, origins: [SITE, "https://other"] }, {});
  assert.equal(accountUrl(settings, "account"), "/account");
  assert.equal(accountUrl(settings, "login", "/a?b=c"), "/account/login?next=%2Fa%3Fb%3Dc");
  const page = { method: "GET", target: "/a", headers: { host: "other", accept: "text/html" } };
  const signInFirst = (request) => refusal(settings, request, null, { level: 2 });
  assert.equal(signInFirst(page), `${SITE}/account/login?next=https%3A%2F%2Fother%2Fa`);
  assert.equal(signInFirst({ ...page, headers: { host: "nowhere" } }).status, 421);
  assert.equal(signInFirst({ ...page, method: "POST" }).status, 401);
  assert.equal(isNavigation({ ...page, headers: { ...page.headers, "sec-fetch-mode": "cors" } }), false);
});

test("answers for users whose session is too weak", () => {
  const settings = readSettings({ url: SITE, origins: [SITE, "https://other"] }, {});
  const page = { method: "GET", target: "/a", headers: { host: "other", accept: "text/html" } };
  const at = (assurance, request = page) => refusal(settings, request, madeUpUser({ assurance }), { level: 2 });
  assert.deepEqual([at(2), at(3)], [null, null]);
  assert.equal(at(1), `${SITE}/account/confirm?assurance=2&next=https%3A%2F%2Fother%2Fa`);
  assert.equal(at(1, { ...page, method: "POST" }).status, 403);
  const form = { host: "other", referer: "https://other/form?b=c", "sec-fetch-mode": "navigate" };
  const expected = `${SITE}/account/confirm?assurance=2&next=https%3A%2F%2Fother%2Fform%3Fb%3Dc`;
  assert.equal(at(1, { ...page, method: "POST", headers: form }), expected);
  assert.equal(accountUrl(settings, "confirm", "/a", SITE, 3), "/account/confirm?assurance=3&next=%2Fa");
});

test("a page may be stored only if the app says private", () => {
  for (const given of [undefined, "no-cache", "public, max-age=60"]) {
    assert.equal(cacheControl(given), "no-store");
  }
  assert.equal(cacheControl("private, max-age=60"), "private, max-age=60");
  assert.deepEqual([undefined, "Accept", "cookie", "*", ["a", "b"]].map(vary), ["Cookie", "Accept, Cookie", "cookie", "*", "a, b, Cookie"]);
});

test("a session of another sign-in is cleared, whatever begins a new one", async () => {
  const user = madeUpUser();
  const request = { session: { note: "of Ada", handstampSessionId: "another" } };
  await bindSession(request, user);
  assert.deepEqual(request.session, { handstampSessionId: user.sessionId });
  await bindSession(request, null);
  assert.deepEqual(request.session, {});
  const kept = { session: { note: "a cart" } };
  await bindSession(kept, user);
  assert.equal(kept.session.note, "a cart");
  const failing = { session: { handstampSessionId: "another", regenerate: (done) => done(new Error("the store is away")) } };
  await assert.rejects(bindSession(failing, user), /the store is away/);
});
