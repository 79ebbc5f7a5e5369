// The types of the package, as an app uses them. It is compiled and not run.

import express from "express";
import Fastify from "fastify";
import { hasAssurance, readSettings, SettingsError, Verifier, type User } from "handstamp";
import { handstamp, requireAssurance, requireAuth, requireGroup, userOf } from "handstamp/express";
import { handstamp as plugin } from "handstamp/fastify";
import { headersFor, madeUpUser } from "handstamp/testing";

const app = express();
const auth = handstamp({ url: "http://localhost:8000", origins: ["http://localhost:8000"], log: (line: string) => line });
app.use(auth);
app.get("/", requireAuth(), requireGroup("staff"), (req, res) => {
  const name: string | undefined = req.user?.name;
  const is: boolean = req.isAuthenticated();
  // @ts-expect-error: a user may be missing
  res.send(`${req.user.name}${is}${name}`);
});
app.get("/payouts", requireAssurance(2), (req, res) => res.send(`${req.user?.authenticatedAt?.toISOString()}`));
// @ts-expect-error: there is no such level
requireAssurance(4);
const login: string = auth.accountUrl("login", "/");
// @ts-expect-error: there is no such page
auth.accountUrl("nothing");

const fastify = Fastify();
await fastify.register(plugin, { groups: ["staff"] });
fastify.get("/", { preHandler: [fastify.authenticate, fastify.requireGroup("staff"), fastify.requireAssurance(2)] }, async (request) => {
  const user: User | null = request.user;
  return user?.email ?? fastify.handstamp.accountUrl("account");
});

const isStrong: boolean = hasAssurance(madeUpUser({ assurance: 2, methods: ["pwd", "otp"] }), 2);
const verifier = new Verifier(readSettings());
const headers: Record<string, string> = await headersFor(madeUpUser({ groups: ["staff"] }), { verifier });
export { headers, isStrong, login, SettingsError, userOf };
