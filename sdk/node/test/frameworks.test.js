// Express and Fastify without sessions: a bad assertion is refused where the user is looked at, and a test signs in.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import express from "express";
import Fastify from "fastify";
import { handstamp, requireAssurance, requireAuth, requireGroup, userOf } from "handstamp/express";
import { handstamp as plugin } from "handstamp/fastify";
import { headersFor, madeUpUser } from "handstamp/testing";

const URL = "http://localhost:8000";
const HOST = { host: "localhost:8000" };
const forged = { ...HOST, "handstamp-assertion": "forged" };

/** Sends requests to an Express app. */
async function serve(app, act) {
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const { port } = server.address();
    // `fetch` does not send a header Host of its own.
    const { request } = await import("node:http");
    return await act(async (path, headers = HOST) => {
      const sent = request({ host: "127.0.0.1", port, path, headers }).end();
      const [response] = await once(sent, "response");
      const chunks = await response.toArray();
      return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() };
    });
  } finally {
    server.close();
  }
}

test("Express", async () => {
  const app = express();
  app.set("env", "test");
  const auth = handstamp({ url: URL, log: () => {} });
  app.use(auth);
  app.get("/plain", (req, res) => res.send("plain"));
  app.get("/public", (req, res) => res.send(`${req.user?.name} ${req.isAuthenticated()} ${res.locals.user?.name}`));
  app.get("/me", requireAuth(), (req, res) => res.set("Cache-Control", "private, max-age=60").send(req.user.name));
  app.get("/staff", requireGroup("staff", "admins"), (req, res) => res.send(req.user.name));
  const ada = { ...HOST, ...(await headersFor(madeUpUser({ name: "Ada", groups: ["staff"] }), auth)) };
  app.get("/payouts", requireAssurance(2), (req, res) => res.send(`${req.user.assurance}`));
  const bob = { ...HOST, ...(await headersFor(madeUpUser({ name: "Bob" }), auth)) };
  const at = async (assurance) => ({ ...HOST, ...(await headersFor(madeUpUser({ assurance }), auth)) });
  await serve(app, async (get) => {
    assert.equal((await get("/plain", forged)).status, 200);
    assert.equal((await get("/public", forged)).status, 401);
    assert.equal((await get("/me", forged)).status, 401);
    assert.equal((await get("/me")).status, 401);
    assert.equal((await get("/public")).body, "undefined false undefined");
    assert.equal((await get("/public", ada)).body, "Ada true Ada");
    assert.equal((await get("/staff", ada)).body, "Ada");
    assert.equal((await get("/staff", bob)).status, 403);
    assert.equal((await get("/payouts", await at(1))).status, 403);
    assert.deepEqual([(await get("/payouts", await at(2))).body, (await get("/payouts", await at(3))).body], ["2", "3"]);
    assert.equal((await get("/payouts")).status, 401);
    const led = await get("/payouts?a=1", { ...(await at(1)), accept: "text/html" });
    const confirm = "/account/confirm?assurance=2&next=%2Fpayouts%3Fa%3D1";
    assert.deepEqual([led.status, led.headers.location, led.headers["cache-control"]], [303, confirm, "no-store"]);
    assert.throws(() => requireAssurance(4), RangeError);
    const kept = await get("/me", ada);
    assert.equal(kept.headers["cache-control"], "private, max-age=60");
    assert.equal(kept.headers.vary, "Cookie");
  });
});

test("Express without the middleware says what is missing", async () => {
  const app = express();
  app.get("/", requireAuth(), (req, res) => res.send("x"));
  app.use((error, req, res, next) => (error ? res.status(500).send(error.message) : next()));
  await serve(app, async (get) => {
    assert.match((await get("/")).body, /app.use\(handstamp\(\)\) must stand before/);
  });
  assert.throws(() => handstamp(), /HANDSTAMP_URL is not set/);
  await assert.rejects(userOf({ headers: {} }), /HANDSTAMP_URL is not set/);
});

test("Fastify", async () => {
  const fastify = Fastify();
  await fastify.register(plugin, { url: URL, logLevel: "silent" });
  fastify.get("/plain", async () => "plain");
  fastify.get("/public", async (request) => `${request.user?.name}`);
  fastify.get("/me", { preHandler: fastify.authenticate }, async (request) => request.user.name);
  fastify.get("/staff", { preHandler: fastify.requireGroup("staff") }, async (request) => request.user.name);
  fastify.get("/payouts", { preHandler: fastify.requireAssurance(2) }, async (request) => `${request.user.assurance}`);
  const get = (url, headers = HOST) => fastify.inject({ url, headers });
  const ada = { ...HOST, ...(await headersFor(madeUpUser({ name: "Ada", groups: ["staff"] }), fastify.handstamp)) };
  const bob = { ...HOST, ...(await headersFor(madeUpUser({ name: "Bob" }), fastify.handstamp)) };
  assert.equal((await get("/plain", forged)).statusCode, 200);
  assert.equal((await get("/public", forged)).statusCode, 401);
  assert.equal((await get("/me", forged)).statusCode, 401);
  assert.equal((await get("/me")).statusCode, 401);
  assert.equal((await get("/public")).body, "undefined");
  assert.equal((await get("/staff", ada)).body, "Ada");
  assert.equal((await get("/staff", bob)).statusCode, 403);
  const at = async (assurance) => ({ ...HOST, ...(await headersFor(madeUpUser({ assurance }), fastify.handstamp)) });
  assert.equal((await get("/payouts", await at(1))).statusCode, 403);
  assert.deepEqual([(await get("/payouts", await at(2))).body, (await get("/payouts", await at(3))).body], ["2", "3"]);
  assert.equal((await get("/payouts")).statusCode, 401);
  const led = await get("/payouts?a=1", { ...(await at(1)), accept: "text/html" });
  assert.deepEqual([led.statusCode, led.headers.location], [303, "/account/confirm?assurance=2&next=%2Fpayouts%3Fa%3D1"]);
  assert.throws(() => fastify.requireAssurance(0), RangeError);
  const page = await get("/me", { ...HOST, accept: "text/html" });
  assert.deepEqual([page.statusCode, page.headers.location], [303, "/account/login?next=%2Fme"]);
  await assert.rejects(async () => Fastify().register(plugin, {}), /HANDSTAMP_URL is not set/);
  await assert.rejects(async () => Fastify().register(plugin, { url: URL, group: "staff" }), /no setting group/);
});
