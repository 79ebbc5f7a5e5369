/** The verification of assertions. */

import type { IncomingHttpHeaders } from "node:http";
import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from "jose";

import { ConfigurationError, HandstampError, InvalidAssertionError, KeysUnavailableError, NotInGroupError } from "./errors.js";
import type { Settings } from "./settings.js";
import { isIn, userFromClaims, type User } from "./user.js";

/** The clock of the app may differ by this many seconds. */
const TOLERANCE = 30;
/** The `max-age` of the keys, in milliseconds. */
const LIFETIME = 300_000;
/** An unknown key id leads to a fetch at most once in this many milliseconds, so that forged assertions do not cause fetches. */
const UNKNOWN_KEY_INTERVAL = 60_000;
const HEADER = "handstamp-assertion";

/** Where a line of the log goes. */
export type Log = (line: string) => void;

/** Verifies assertions by the settings of an app. */
export class Verifier {
  readonly settings: Settings;
  /** Finds keys. Tests replace it. */
  keys: JWTVerifyGetKey;
  readonly #log: Log;

  constructor(settings: Settings, log: Log = console.error) {
    this.settings = settings;
    this.#log = log;
    this.keys = createRemoteJWKSet(new URL(`${settings.url}/account/jwks.json`), {
      cacheMaxAge: LIFETIME,
      cooldownDuration: UNKNOWN_KEY_INTERVAL,
      timeoutDuration: 5000,
    });
  }

  /** The user of a request, or `null` if it has no assertion. Throws a `HandstampError`. */
  async userOf(request: { headers: IncomingHttpHeaders }): Promise<User | null> {
    const assertion = request.headers[HEADER];
    return assertion ? this.verify(String(assertion)) : null;
  }

  /** The user of an assertion. Throws a `HandstampError`. */
  async verify(assertion: string): Promise<User> {
    let claims: JWTPayload;
    try {
      const expected = {
        algorithms: ["EdDSA"],
        clockTolerance: TOLERANCE,
        requiredClaims: ["aud", "exp", "iat", "iss", "sid", "sub"],
      };
      claims = (await jwtVerify(assertion, this.keys, expected)).payload;
    } catch (error) {
      throw this.#refusal(error);
    }
    this.#checkConfiguration(claims);
    const user = this.#read(claims);
    for (const groups of [this.settings.groups.length > 0 ? this.settings.groups : null, user.requiredGroups]) {
      if (groups && !isIn(user, groups)) {
        throw new NotInGroupError();
      }
    }
    return user;
  }

  #refusal(error: unknown): HandstampError {
    if (isAboutKeys(error)) {
      this.#log(`cannot get the keys of Handstamp from ${this.settings.url}/account/jwks.json: ${messageOf(error)}`);
      return new KeysUnavailableError();
    }
    const isExpired = error instanceof errors.JWTExpired;
    const hint = isExpired ? ": it is expired, so the clock of this machine or of Handstamp is wrong" : "";
    this.#log(`an assertion was refused: ${messageOf(error)}${hint}`);
    return new InvalidAssertionError();
  }

  #read(claims: JWTPayload): User {
    try {
      return userFromClaims(claims);
    } catch (error) {
      this.#log(`an assertion was refused: ${messageOf(error)}`);
      throw new InvalidAssertionError();
    }
  }

  #checkConfiguration({ aud, iss }: JWTPayload): void {
    const { publicUrl, origins } = this.settings;
    if (iss !== publicUrl) {
      this.#log(`the assertion is from ${iss}, but HANDSTAMP_PUBLIC_URL is ${publicUrl}`);
    } else if (typeof aud !== "string" || !origins.includes(aud)) {
      this.#log(`the assertion is for ${String(aud)}, but this app is at ${origins.join(" or ")} (HANDSTAMP_ORIGINS)`);
    } else {
      return;
    }
    throw new ConfigurationError();
  }
}

/** Whether the keys could not be fetched: any error but those about the assertion itself. */
function isAboutKeys(error: unknown): boolean {
  const ofKeys = ["ERR_JOSE_GENERIC", "ERR_JWKS_INVALID", "ERR_JWKS_TIMEOUT"];
  return !(error instanceof errors.JOSEError) || ofKeys.includes(error.code);
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : "";
  return error.message + cause;
}
