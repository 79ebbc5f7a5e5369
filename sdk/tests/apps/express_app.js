// The app of the tests in Express, with express-session or cookie-session.

import express from "express";
import cookieSession from "cookie-session";
import expressSession from "express-session";
import { handstamp, requireAssurance, requireAuth, requireGroup } from "handstamp/express";

const app = express();
app.disable("x-powered-by");
app.use(express.urlencoded({ extended: false }));
if (process.argv[2] === "cookie") {
  app.use(cookieSession({ secret: "of the tests" }));
} else {
  app.use(expressSession({ secret: "of the tests", resave: false, saveUninitialized: false }));
}
const auth = handstamp();
app.use(auth);

app.all("/public", (req, res) => {
  req.resume();
  const answer = { name: req.isAuthenticated() ? req.user.name : null, email: res.locals.user?.email };
  req.on("close", () => res.json(answer));
});
app.get("/own", (req, res) => {
  req.user = { name: `the row of ${req.user?.name}` };
  res.json({ name: req.user.name });
});
app.get("/plain", (req, res) => res.send("plain"));
app.get("/me", requireAuth(), (req, res) => {
  const { id, name, email, groups, sessionId: session, legacyId: old } = req.user;
  res.json({ id, name, email, groups, session, old });
});
app.get("/staff", requireGroup("staff"), (req, res) => res.send("staff"));
app.get("/payouts", requireAssurance(2), (req, res) => res.send("payouts"));
app.post("/form", requireAuth(), (req, res) => res.send("sent"));
app.get("/note", (req, res) => res.json({ note: req.session.note ?? null }));
app.post("/note", (req, res) => {
  req.session.note = req.body.note;
  res.send("written");
});
app.get("/links", (req, res) => res.json({ login: auth.accountUrl("login", "/me?a=1&b=2"), account: auth.accountUrl("account") }));

const [host, port] = process.env.LISTEN.split(":");
const server = app.listen(Number(port), host);
server.on("upgrade", async (request, socket) => {
  const user = await auth.userOf(request);
  socket.end(`HTTP/1.1 ${user ? "426 Upgrade Required" : "401 Unauthorized"}\r\nContent-Length: 0\r\nX-Name: ${user?.name}\r\n\r\n`);
});
