/**
 * Help for the tests of an app: signs users in without a Handstamp that runs. The assertions are real ones, signed by a key of
 * the test, so the tests run the code that the app runs.
 */

import { randomUUID } from "node:crypto";
import { errors, generateKeyPair, SignJWT, type JWTHeaderParameters, type JWTVerifyGetKey } from "jose";

import type { User } from "./user.js";
import type { Verifier } from "./verifier.js";

/** A user with an id and a session of its own. */
export function madeUpUser(fields: Partial<User> = {}): User {
  return {
    id: randomUUID(),
    name: "Ada Lovelace",
    email: "ada@example.com",
    emailVerified: true,
    groups: [],
    sessionId: randomUUID(),
    methods: ["pwd"],
    assurance: 1,
    // Assertions count in seconds.
    authenticatedAt: new Date(Math.floor(Date.now() / 1000) * 1000),
    legacyId: null,
    requiredGroups: null,
    isDoctor: false,
    ...fields,
  };
}

const KEY_ID = "test";
let pair: ReturnType<typeof generateKeyPair> | undefined;

const testKeys: JWTVerifyGetKey = async (header: JWTHeaderParameters) => {
  if (header.kid !== KEY_ID || !pair) {
    throw new errors.JWKSNoMatchingKey();
  }
  return (await pair).publicKey;
};

/** The headers of a request of this user. The app accepts only assertions of this function from now on. */
export async function headersFor(user: User, { verifier }: { verifier: Verifier }): Promise<Record<string, string>> {
  pair ??= generateKeyPair("EdDSA", { crv: "Ed25519" });
  verifier.keys = testKeys;
  const now = Math.floor(Date.now() / 1000);
  const { settings } = verifier;
  const assertion = await new SignJWT({
    iss: settings.publicUrl,
    aud: settings.origins[0],
    sub: user.id,
    sid: user.sessionId,
    amr: [...user.methods],
    acr: String(user.assurance),
    auth_time: user.authenticatedAt ? Math.floor(user.authenticatedAt.getTime() / 1000) : now,
    name: user.name,
    email: user.email ?? undefined,
    email_verified: user.emailVerified,
    groups: [...user.groups],
    legacy_id: user.legacyId ?? undefined,
    required_groups: user.requiredGroups ? [...user.requiredGroups] : undefined,
    iat: now - 30,
    exp: now + 60,
  })
    .setProtectedHeader({ alg: "EdDSA", typ: "JWT", kid: KEY_ID })
    .sign((await pair).privateKey);
  return { "handstamp-assertion": assertion };
}
