// An Express app with users, and no line about passwords or cookies.

import express from "express";
import { handstamp, requireAuth, requireGroup } from "handstamp/express";

const app = express();
const auth = handstamp();
app.use(auth);

const escape = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const page = (user, heading) => `<!doctype html>
<title>Packages</title>
<nav>
  <a href="/">Packages</a>
  ${
    user
      ? `<a href="/welcome">${escape(user.name)}</a>
  <a href="${auth.accountUrl("account")}">Account</a>
  <a href="${auth.accountUrl("logout", "/")}">Sign out</a>`
      : `<a href="${auth.accountUrl("login", "/welcome")}">Sign in</a>
  <a href="${auth.accountUrl("register", "/welcome")}">Register</a>`
  }
</nav>
<h1>${escape(heading)}</h1>
`;

app.get("/", (req, res) => res.send(page(req.user, "Packages")));
app.get("/welcome", requireAuth(), (req, res) => res.send(page(req.user, `Welcome, ${req.user.name}`)));
app.get("/orders", requireGroup("staff"), (req, res) => res.send(page(req.user, "Orders")));

app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
