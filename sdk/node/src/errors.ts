/** The errors of this package, each with the HTTP status that fits it. */

/** A setting is missing or malformed; thrown when the app starts. */
export class SettingsError extends Error {
  override name = "SettingsError";
}

/** A request is refused. Express and Fastify answer with `status`, and the message may be shown to the client. */
export class HandstampError extends Error {
  override name = "HandstampError";
  readonly status: number;
  /** The same, by the name that Fastify reads. */
  readonly statusCode: number;
  readonly expose = true;

  constructor(status: number, message: string) {
    super(message);
    this.status = this.statusCode = status;
    // It is no fault of the program, so Express shall log one line.
    this.stack = `${new.target.name}: ${message}`;
  }
}

/** The assertion is malformed, expired, or signed by another key. */
export class InvalidAssertionError extends HandstampError {
  override name = "InvalidAssertionError";

  constructor() {
    super(401, "The identity in this request could not be verified.");
  }
}

/** The user is in none of the groups that this app or its proxy requires. */
export class NotInGroupError extends HandstampError {
  override name = "NotInGroupError";

  constructor() {
    super(403, "You are not in a group that may use this page.");
  }
}

/** The session has not reached the assurance level that this app requires. */
export class NotAssuredError extends HandstampError {
  override name = "NotAssuredError";

  constructor() {
    super(403, "You are signed in, but for this you have to authenticate again.");
  }
}

/** The assertion is valid, but for another audience or from another issuer: a setting is wrong. */
export class ConfigurationError extends HandstampError {
  override name = "ConfigurationError";

  constructor() {
    super(500, "This app and Handstamp are configured for different addresses. See the log of the app.");
  }
}

/** The keys of Handstamp cannot be fetched. */
export class KeysUnavailableError extends HandstampError {
  override name = "KeysUnavailableError";

  constructor() {
    super(503, "Who you are cannot be verified just now. Please try again in a few seconds.");
  }
}
