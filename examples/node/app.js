// A Node app behind a proxy and Handstamp, which need not trust its network: it believes the signed assertion only.
//
//   npm ci
//   APP_URL=https://app.example.com HANDSTAMP_URL=http://127.0.0.1:8080 HANDSTAMP_PUBLIC_URL=https://app.example.com npm start

import { createServer } from "node:http";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { APP_URL, HANDSTAMP_URL, HANDSTAMP_PUBLIC_URL, LISTEN = "127.0.0.1:3000" } = process.env;

const keys = createRemoteJWKSet(new URL("/auth/jwks.json", HANDSTAMP_URL));
// An assertion is for one origin, the one where browsers reach this app.
const expected = { audience: APP_URL, issuer: HANDSTAMP_PUBLIC_URL, algorithms: ["EdDSA"], requiredClaims: ["exp", "sub"] };

/** Who sends a request, or nothing. */
async function userOf(request) {
  try {
    return (await jwtVerify(request.headers["handstamp-assertion"] ?? "", keys, expected)).payload;
  } catch {
    return null;
  }
}

const escape = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const server = createServer(async (request, response) => {
  const user = await userOf(request);
  if (!user) {
    response.writeHead(401).end();
    return;
  }
  response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
  response.end(`<!doctype html><title>Hello</title><p>Hello, ${escape(user.name)} (${escape(user.email)})</p>
<form method=post action=/account/logout><button>Sign out</button></form>`);
});

const [host, port] = LISTEN.split(":");
server.listen(Number(port), host);
