/** The rules for requests and responses that all frameworks share. */

import type { IncomingHttpHeaders } from "node:http";

import { HandstampError, NotAssuredError, NotInGroupError } from "./errors.js";
import type { Settings } from "./settings.js";
import { hasAssurance, isIn, type Level, type User } from "./user.js";

/** The pages of Handstamp that an app links to. */
export type Page = "login" | "logout" | "register" | "account" | "confirm";

interface Request {
  method: string;
  /** Path and query, as the client sent them. */
  target: string;
  headers: IncomingHttpHeaders;
}

/** Whether a browser navigates to a page, by the same rule as Handstamp. */
export function isNavigation({ method, headers }: Request): boolean {
  const mode = headers["sec-fetch-mode"];
  return mode ? mode === "navigate" : ["GET", "HEAD"].includes(method) && (headers.accept ?? "").includes("text/html");
}

/**
 * The URL of a page of Handstamp. It is a path where the app has the origin of Handstamp. The level is the one that the user shall
 * reach on the page `confirm`.
 */
export function accountUrl(
  settings: Settings,
  page: Page,
  next?: string,
  origin: string = settings.origins[0],
  level?: Level,
): string {
  const isSame = origin === settings.publicUrl;
  const path = page === "account" ? "/account" : `/account/${page}`;
  const target = next && !isSame && next.startsWith("/") ? origin + next : next;
  const fields = [level ? `assurance=${level}` : "", target ? `next=${encodeURIComponent(target)}` : ""];
  const query = fields.filter((field) => field !== "").join("&");
  return `${isSame ? "" : settings.publicUrl}${path}${query ? `?${query}` : ""}`;
}

/** What an app requires of the users of a page. */
export interface Requirement {
  /** One of these groups, if there are any. */
  groups?: readonly string[];
  /** A session of this level. */
  level?: Level;
}

/** What a request gets that lacks what the page requires: the URL of a page of Handstamp, or an error; otherwise `null`. */
export function refusal(
  settings: Settings,
  request: Request,
  user: User | null,
  { groups = [], level }: Requirement,
): string | HandstampError | null {
  if (!user) {
    return leadTo(settings, request, "login", new HandstampError(401, "Please sign in first."));
  }
  if (groups.length > 0 && !isIn(user, groups)) {
    return new NotInGroupError();
  }
  if (level && !hasAssurance(user, level)) {
    return leadTo(settings, request, "confirm", new NotAssuredError(), level);
  }
  return null;
}

/** The URL of a page of Handstamp that leads back, or the error for what is no page. */
function leadTo(
  settings: Settings,
  request: Request,
  page: Page,
  error: HandstampError,
  level?: Level,
): string | HandstampError {
  const hosts = [request.headers["x-forwarded-host"], request.headers.host];
  const origin = originOf(settings, hosts);
  if (!origin) {
    const address = settings.origins[0] + request.target;
    return new HandstampError(421, `Open ${address} instead: this address reaches the app without Handstamp.`);
  }
  if (!isNavigation(request)) {
    return error;
  }
  return accountUrl(settings, page, returnPath(request, origin), origin, level);
}

/** The configured origin of the first host that has one. */
function originOf({ origins }: Settings, hosts: unknown[]): string | undefined {
  for (const host of hosts) {
    const found = origins.find((origin) => typeof host === "string" && new URL(origin).host === host.toLowerCase());
    if (found) {
      return found;
    }
  }
  return undefined;
}

/** Where to go after the sign-in: the page, or the page with the form that was sent. */
function returnPath({ method, target, headers }: Request, origin: string): string {
  if (["GET", "HEAD"].includes(method)) {
    return target;
  }
  const referrer = URL.canParse(headers.referer ?? "") ? new URL(headers.referer ?? "") : undefined;
  return referrer?.origin === origin ? referrer.pathname + referrer.search : "/";
}

/** The `Cache-Control` of a response that depends on the user. A page that is cached is shown after the sign-out. */
export function cacheControl(existing: unknown): string {
  const text = typeof existing === "string" ? existing : "";
  return text.split(",").some((part) => /^(no-store|private)\b/i.test(part.trim())) ? text : "no-store";
}

/** The `Vary` of a response that depends on the user. */
export function vary(existing: unknown): string {
  const names = (Array.isArray(existing) ? existing.join(",") : String(existing ?? "")).split(",").map((name) => name.trim());
  const kept = names.filter((name) => name !== "");
  return kept.some((name) => name === "*" || name.toLowerCase() === "cookie") ? kept.join(", ") : [...kept, "Cookie"].join(", ");
}

/** The session of a framework, as far as this package uses it. */
interface Session {
  handstampSessionId?: string;
  regenerate?: (...values: unknown[]) => unknown;
}

/**
 * Clears what another session of Handstamp left in the session of the framework, and marks it as that of the user. It is for
 * express-session, cookie-session, @fastify/session and @fastify/secure-session.
 */
export async function bindSession(request: object, user: User | null): Promise<void> {
  const holder = request as { session?: Session | null };
  if (!holder.session) {
    return;
  }
  const marked = holder.session.handstampSessionId;
  if (marked && marked !== user?.sessionId) {
    await clear(holder);
  }
  if (user && holder.session.handstampSessionId !== user.sessionId) {
    holder.session.handstampSessionId = user.sessionId;
  }
}

async function clear(holder: { session?: Session | null }): Promise<void> {
  const session = holder.session;
  if (!session?.regenerate) {
    // The setter of cookie-session begins an empty one.
    holder.session = {};
  } else if (session.regenerate.length === 0) {
    await session.regenerate();
  } else {
    await new Promise<void>((resolve, reject) => {
      session.regenerate?.((error: unknown) => (error ? reject(error) : resolve()));
    });
  }
}
