/** The user of a request, as the assertion says. */

import type { JWTPayload } from "jose";

/** A signed-in user. */
export interface User {
  /** A UUID that never changes. Link rows of the app by it. */
  readonly id: string;
  /** Free text of the user. Escape it. */
  readonly name: string;
  /** The e-mail address, or `null` until it is verified. */
  readonly email: string | null;
  /** Never link a row by an address that is not verified. */
  readonly emailVerified: boolean;
  readonly groups: readonly string[];
  /** Changes with each sign-in. It opens nothing. */
  readonly sessionId: string;
  /** How the user authenticated (RFC 8176): `pwd` for a password, `otp` for a one-time code. */
  readonly methods: readonly string[];
  /** 1 for one factor, 2 for two factors, 3 for phishing-resistant ones. */
  readonly assurance: number;
  /** When the user last authenticated in this session. */
  readonly authenticatedAt: Date | null;
  /** The id of an imported user in the system before Handstamp. */
  readonly legacyId: string | null;
  /** The groups of which the proxy required one; `null` if it required none. */
  readonly requiredGroups: readonly string[] | null;
  /** Whether `handstamp doctor` made this request. Keep nothing of its user. */
  readonly isDoctor: boolean;
}

/** Reads verified claims, or throws a `TypeError` if one is malformed. */
export function userFromClaims(claims: JWTPayload): User {
  const email = claims["email"] === undefined ? null : text(claims["email"]);
  const time = claims["auth_time"];
  const required = claims["required_groups"];
  return {
    id: text(claims.sub),
    name: typeof claims["name"] === "string" ? claims["name"] : "",
    email,
    emailVerified: claims["email_verified"] === true,
    groups: texts(claims["groups"]),
    sessionId: text(claims["sid"]),
    methods: texts(claims["amr"]),
    assurance: level(claims["acr"]),
    authenticatedAt: typeof time === "number" ? new Date(time * 1000) : null,
    legacyId: (claims["legacy_id"] ?? null) === null ? null : String(claims["legacy_id"]),
    requiredGroups: required === undefined ? null : texts(required),
    isDoctor: email === "doctor@handstamp.invalid",
  };
}

/** Whether the user is in one of these groups. */
export function isIn(user: User, groups: readonly string[]): boolean {
  return groups.some((group) => user.groups.includes(group));
}

/** The assurance levels that an app may require. */
export type Level = 1 | 2 | 3;

/** Throws a `RangeError` if a program without types requires a level that there is not. */
export function checkLevel(level: Level): Level {
  if (![1, 2, 3].includes(level)) {
    throw new RangeError(`${String(level)} is no assurance level: there are 1, 2 and 3`);
  }
  return level;
}

/** Whether the session has reached this level. */
export function hasAssurance(user: User, level: Level): boolean {
  return user.assurance >= level;
}

function text(value: unknown): string {
  if (typeof value !== "string" || value === "") {
    throw new TypeError(`${JSON.stringify(value)} is not a text`);
  }
  return value;
}

function level(value: unknown = 1): number {
  const level = Number(value);
  if (!Number.isInteger(level)) {
    throw new TypeError(`${JSON.stringify(value)} is no assurance level`);
  }
  return level;
}

function texts(value: unknown = []): string[] {
  if (!Array.isArray(value)) {
    throw new TypeError(`${JSON.stringify(value)} is not a list`);
  }
  return value.map(text);
}
