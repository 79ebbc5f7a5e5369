// An OpenID Connect provider for tests: provider.mjs FOLDER OPTIONS --port PORT
//
// It is oidc-provider with its pages for development: any name signs in, with any password, and consents. OPTIONS is JSON:
//
//   clients    metadata of clients, by their names in OpenID Connect Dynamic Client Registration 1.0
//   accounts   claims by the name that signs in; another name has no claims
//
// A key is made for each algorithm that a client has for its ID tokens. Everything is forgotten when the program ends. Each logout
// token that it sends is a line of JSON in FOLDER/logouts: the URL and the status of the answer.

import { createPrivateKey, generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';

// Node.js 18 lacks both.
globalThis.crypto ??= webcrypto;
URL.parse ??= (...url) => (URL.canParse(...url) ? new URL(...url) : null);
const { Provider } = await import('oidc-provider');

const [folder, options, , port] = process.argv.slice(2);
const { clients, accounts } = JSON.parse(options);

// The secret of a client is the key of an HMAC.
const named = clients.map((client) => client.id_token_signed_response_alg ?? 'RS256');
const algorithms = new Set(named.map((algorithm) => (algorithm.startsWith('HS') ? 'RS256' : algorithm)));

function newKey(algorithm) {
  const curve = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[algorithm];
  const type = curve ? 'ec' : algorithm.startsWith('Ed') ? 'ed25519' : 'rsa';
  // Node.js 20 can wait for itself forever while it exports a key that it has just made. So the key is made as a text, and parsed.
  const { privateKey } = generateKeyPairSync(type, {
    ...(curve && { namedCurve: curve }),
    ...(type === 'rsa' && { modulusLength: 2048 }),
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const kid = `${algorithm}-${randomBytes(4).toString('hex')}`;
  return { ...createPrivateKey(privateKey).export({ format: 'jwk' }), alg: algorithm, use: 'sig', kid };
}

// Its own requests refuse addresses on loopback, where applications of tests are.
async function fetchFromLoopback(url, { dispatcher, ...request }) {
  const response = await fetch(url, request);
  const line = { url: String(url), status: response.status };
  appendFileSync(path.join(folder, 'logouts'), `${JSON.stringify(line)}\n`);
  return response;
}

const server = createServer();
await new Promise((listens) => server.listen(Number(port), '127.0.0.1', listens));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [...algorithms].map(newKey) },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name'],
    groups: ['groups'],
  },
  enabledJWA: {
    idTokenSigningAlgValues: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519', 'HS256'],
  },
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: true },
  },
  fetch: fetchFromLoopback,
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId, ...accounts?.[accountId] }) }),
});
server.on('request', provider.callback());
console.log(`listening on 127.0.0.1:${server.address().port}`);
