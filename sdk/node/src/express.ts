/**
 * Users of Handstamp in Express:
 *
 *     app.use(handstamp());
 *     app.get("/favourites", requireAuth(), (req, res) => res.send(`Hello, ${req.user.name}`));
 */

import type { IncomingMessage } from "node:http";
import type { NextFunction, Request, RequestHandler, Response } from "express";
import onHeaders from "on-headers";

import { readSettings, type Options } from "./settings.js";
import { checkLevel, type Level, type User as HandstampUser } from "./user.js";
import { Verifier, type Log } from "./verifier.js";
import { accountUrl, bindSession, cacheControl, refusal, vary, type Page, type Requirement } from "./web.js";

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace
  namespace Express {
    interface User extends HandstampUser {}
    interface Request {
      /** The signed-in user, or `null`. Throws a `HandstampError` if the assertion cannot be verified. */
      user: User | null;
      isAuthenticated(): boolean;
    }
  }
}

/** The middleware, and what an app may need beside it. */
export interface HandstampMiddleware extends RequestHandler {
  verifier: Verifier;
  /** The user of a request that no middleware saw, as in `server.on("upgrade", …)`. */
  userOf(request: IncomingMessage): Promise<HandstampUser | null>;
  /** The URL of a page of Handstamp. */
  accountUrl(page: Page, next?: string): string;
}

const VERIFIER = Symbol("handstamp");

/**
 * Sets `req.user`, `res.locals.user` and `req.isAuthenticated()`. It stands after the middleware of sessions, which it clears
 * when another session of Handstamp begins. Throws a `SettingsError` if a setting is wrong.
 */
export function handstamp({ log, ...options }: Options & { log?: Log } = {}): HandstampMiddleware {
  const verifier = new Verifier(readSettings(options), log);
  const middleware: RequestHandler = (request, response, next) => {
    identify(verifier, request, response).then(() => next(), next);
  };
  return Object.assign(middleware, {
    verifier,
    userOf: (request: IncomingMessage) => verifier.userOf(request),
    accountUrl: (page: Page, next?: string) => accountUrl(verifier.settings, page, next),
  });
}

async function identify(verifier: Verifier, request: Request, response: Response): Promise<void> {
  let user: HandstampUser | null = null;
  let failure: unknown;
  try {
    user = await verifier.userOf(request);
  } catch (error) {
    failure = error;
  }
  // Without knowing whose it is, a session can be neither kept nor cleared.
  if (failure && "session" in request) {
    throw failure;
  }
  await bindSession(request, user);

  let isLookedAt = false;
  const look = (): HandstampUser | null => {
    isLookedAt = true;
    if (failure) {
      throw failure;
    }
    return user;
  };
  for (const target of [request, response.locals]) {
    const to = (value: unknown): void => {
      Object.defineProperty(target, "user", { value, writable: true, configurable: true, enumerable: true });
    };
    // An app may put an object of its own in its place.
    Object.defineProperty(target, "user", { get: look, set: to, configurable: true, enumerable: true });
  }
  request.isAuthenticated = () => look() !== null;
  Object.defineProperty(request, VERIFIER, { value: verifier });
  onHeaders(response, () => {
    if (isLookedAt) {
      response.setHeader("Cache-Control", cacheControl(response.getHeader("Cache-Control")));
      response.setHeader("Vary", vary(response.getHeader("Vary")));
    }
  });
}

/** Lets only signed-in users pass. A page leads to the sign-in page, anything else is answered 401. */
export function requireAuth(): RequestHandler {
  return allow({});
}

/** Lets only members of one of these groups pass; others are answered 403. */
export function requireGroup(...groups: string[]): RequestHandler {
  return allow({ groups });
}

/**
 * Lets only users pass in whose session this assurance level was reached. For others a page leads to the page on which they
 * authenticate again, and anything else is answered 403.
 */
export function requireAssurance(level: Level): RequestHandler {
  return allow({ level: checkLevel(level) });
}

function allow(requirement: Requirement): RequestHandler {
  return (request: Request, response: Response, next: NextFunction) => {
    const verifier = (request as { [VERIFIER]?: Verifier })[VERIFIER];
    if (!verifier) {
      throw new Error("app.use(handstamp()) must stand before requireAuth(), requireGroup() and requireAssurance()");
    }
    const { method, headers, originalUrl: target } = request;
    const refused = refusal(verifier.settings, { method, headers, target }, request.user, requirement);
    if (typeof refused === "string") {
      response.redirect(303, refused);
    } else {
      next(refused ?? undefined);
    }
  };
}

let ofEnvironment: Verifier | undefined;

/** The user of a request that no middleware saw, by the settings in the environment. */
export async function userOf(request: IncomingMessage): Promise<HandstampUser | null> {
  ofEnvironment ??= new Verifier(readSettings());
  return ofEnvironment.userOf(request);
}
