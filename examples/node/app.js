// A Node app behind a reverse proxy that asks Handstamp. It trusts only the signed assertion, not its network.
//
//   npm ci
//   HANDSTAMP_URL=http://127.0.0.1:8080 HANDSTAMP_PUBLIC_URL=https://app.example.com npm start

import { createServer } from "node:http";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

// The URL at which this app reaches Handstamp, to get its keys; and Handstamp's public_url, the issuer of assertions.
const { HANDSTAMP_URL, LISTEN = "127.0.0.1:3000" } = process.env;
const withoutSlash = (url) => url.replace(/\/$/, "");
const HANDSTAMP_PUBLIC_URL = withoutSlash(process.env.HANDSTAMP_PUBLIC_URL ?? HANDSTAMP_URL);
// The URL at which browsers reach this app, if it differs: an assertion is valid for one origin.
const APP_URL = withoutSlash(process.env.APP_URL ?? HANDSTAMP_PUBLIC_URL);
// The group whose members may use this app; without it all users may.
const { GROUP } = process.env;

const keys = createRemoteJWKSet(new URL("/account/jwks.json", HANDSTAMP_URL));
const expected = { audience: APP_URL, issuer: HANDSTAMP_PUBLIC_URL, algorithms: ["EdDSA"], requiredClaims: ["exp", "sub"] };

/** The user who sends a request, or the status that rejects it. */
async function userOf(request) {
  try {
    const { payload } = await jwtVerify(request.headers["handstamp-assertion"] ?? "", keys, expected);
    // Link your own rows to users by payload.sub, which never changes. Never link rows by payload.email: it is missing until it
    // is verified, and users can change it. Grant permissions by payload.groups.
    return isFor(payload) ? { user: payload } : { status: 403 };
  } catch (error) {
    return { status: statusOf(error) };
  }
}

/** Whether this user may use this app. A client that reaches Handstamp can ask it without a group, so the app checks. */
function isFor({ groups, required_groups: required }) {
  return (!GROUP || groups.includes(GROUP)) && (!required || required.some((group) => groups.includes(group)));
}

function statusOf(error) {
  if (error instanceof errors.JWTClaimValidationFailed && ["aud", "iss"].includes(error.claim)) {
    // The signature is valid, so the settings of this app or of the proxy are wrong.
    const { aud, iss } = error.payload;
    const ours = `APP_URL is ${APP_URL} and HANDSTAMP_PUBLIC_URL is ${HANDSTAMP_PUBLIC_URL}`;
    console.error(`the assertion is for ${aud} from ${iss}, but ${ours}`);
    return 500;
  }
  const noKeys = ["ERR_JOSE_GENERIC", "ERR_JWKS_INVALID", "ERR_JWKS_TIMEOUT"];
  if (!(error instanceof errors.JOSEError) || noKeys.includes(error.code)) {
    console.error(`cannot get the keys from ${HANDSTAMP_URL}: ${error.message}`);
    return 503;
  }
  return 401;
}

const escape = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const server = createServer(async (request, response) => {
  const { user, status } = await userOf(request);
  if (!user) {
    response.writeHead(status).end();
    return;
  }
  response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
  response.end(`<!doctype html><title>Hello</title><p>Hello, ${escape(user.name)} ${user.email ? `(${escape(user.email)})` : ""}</p>
<form method=post action=/account/logout><button>Sign out</button></form>`);
});

const [host, port] = LISTEN.split(":");
server.listen(Number(port), host);
