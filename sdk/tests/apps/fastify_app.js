// The app of the tests in Fastify.

import fastifyCookie from "@fastify/cookie";
import fastifySession from "@fastify/session";
import Fastify from "fastify";
import { handstamp } from "handstamp/fastify";

const fastify = Fastify({ logger: { level: "warn", stream: process.stderr } });
await fastify.register(fastifyCookie);
await fastify.register(fastifySession, { secret: "of the tests, with thirty-two characters", cookie: { secure: false }, saveUninitialized: false });
await fastify.register(handstamp);
fastify.addContentTypeParser("application/x-www-form-urlencoded", { parseAs: "string" }, (request, body, done) => {
  done(null, Object.fromEntries(new URLSearchParams(body)));
});

fastify.route({
  method: ["GET", "POST", "OPTIONS"],
  url: "/public",
  bodyLimit: 10_000_000,
  handler: async (request) => ({ name: request.user?.name ?? null, email: request.user?.email }),
});
fastify.addContentTypeParser("*", { parseAs: "buffer" }, (request, body, done) => done(null, body));
fastify.get("/plain", async () => "plain");
fastify.get("/me", { preHandler: fastify.authenticate }, async (request) => {
  const { id, name, email, groups, sessionId: session, legacyId: old } = request.user;
  return { id, name, email, groups, session, old };
});
fastify.get("/staff", { preHandler: fastify.requireGroup("staff") }, async () => "staff");
fastify.get("/payouts", { preHandler: fastify.requireAssurance(2) }, async () => "payouts");
fastify.post("/form", { preHandler: fastify.authenticate }, async () => "sent");
fastify.get("/note", async (request) => ({ note: request.session.note ?? null }));
fastify.post("/note", async (request) => {
  request.session.note = request.body.note;
  return "written";
});
fastify.get("/links", async () => ({
  login: fastify.handstamp.accountUrl("login", "/me?a=1&b=2"),
  account: fastify.handstamp.accountUrl("account"),
}));

const [host, port] = process.env.LISTEN.split(":");
await fastify.listen({ host, port: Number(port) });
