/**
 * Users of Handstamp in Fastify:
 *
 *     await fastify.register(handstamp);
 *     fastify.get("/favourites", { preHandler: fastify.authenticate }, async (request) => `Hello, ${request.user.name}`);
 */

import type { FastifyInstance, FastifyReply, FastifyRequest, RegisterOptions } from "fastify";

import { readSettings, type Options } from "./settings.js";
import { checkLevel, type Level, type User } from "./user.js";
import { Verifier } from "./verifier.js";
import { accountUrl, bindSession, cacheControl, refusal, vary, type Page, type Requirement } from "./web.js";

type PreHandler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

declare module "fastify" {
  interface FastifyRequest {
    /** The signed-in user, or `null`. Throws a `HandstampError` if the assertion cannot be verified. */
    readonly user: User | null;
  }
  interface FastifyInstance {
    /** Lets only signed-in users pass. A page leads to the sign-in page, anything else is answered 401. */
    authenticate: PreHandler;
    /** Lets only members of one of these groups pass; others are answered 403. */
    requireGroup(...groups: string[]): PreHandler;
    /**
     * Lets only users pass in whose session this assurance level was reached. For others a page leads to the page on which they
     * authenticate again, and anything else is answered 403.
     */
    requireAssurance(level: Level): PreHandler;
    handstamp: { verifier: Verifier; accountUrl(page: Page, next?: string): string };
  }
}

/** What is known of the user of one request. */
interface State {
  user: User | null;
  failure: unknown;
  isLookedAt: boolean;
}

/**
 * The plugin. It is registered after that of sessions, which it clears when another session of Handstamp begins. Throws a
 * `SettingsError` if a setting is wrong.
 */
export async function handstamp(fastify: FastifyInstance, options: Options & RegisterOptions = {}): Promise<void> {
  // These are of Fastify, for any plugin.
  const { prefix: _prefix, logLevel: _logLevel, logSerializers: _logSerializers, ...ours } = options;
  const verifier = new Verifier(readSettings(ours), (line) => fastify.log.error(line));
  const states = new WeakMap<FastifyRequest, State>();

  const look = (request: FastifyRequest): User | null => {
    const state = states.get(request);
    if (!state) {
      throw new Error("request.user is known only after the hook onRequest");
    }
    state.isLookedAt = true;
    if (state.failure) {
      throw state.failure;
    }
    return state.user;
  };
  const allow =
    (requirement: Requirement): PreHandler =>
    async (request, reply) => {
      const user = look(request);
      const { method, headers, originalUrl: target } = request;
      const refused = refusal(verifier.settings, { method, headers, target }, user, requirement);
      if (refused === null) {
        return undefined;
      }
      if (typeof refused !== "string") {
        throw refused;
      }
      // Fastify 4 and 5 have these arguments in different orders.
      return reply.code(303).header("location", refused).send();
    };

  fastify.decorateRequest("user", {
    getter(this: FastifyRequest) {
      return look(this);
    },
  });
  fastify.decorate("authenticate", allow({}));
  fastify.decorate("requireGroup", (...groups: string[]) => allow({ groups }));
  fastify.decorate("requireAssurance", (level: Level) => allow({ level: checkLevel(level) }));
  fastify.decorate("handstamp", {
    verifier,
    accountUrl: (page: Page, next?: string) => accountUrl(verifier.settings, page, next),
  });
  fastify.addHook("onRequest", async (request) => {
    const state: State = { user: null, failure: undefined, isLookedAt: false };
    states.set(request, state);
    try {
      state.user = await verifier.userOf(request);
    } catch (error) {
      state.failure = error;
      // Without knowing whose it is, a session can be neither kept nor cleared.
      if ((request as { session?: unknown }).session) {
        throw error;
      }
    }
    await bindSession(request, state.user);
  });
  fastify.addHook("onSend", async (request, reply) => {
    if (states.get(request)?.isLookedAt) {
      reply.header("cache-control", cacheControl(reply.getHeader("cache-control")));
      reply.header("vary", vary(reply.getHeader("vary")));
    }
  });
}

// The documented way for a plugin to be in force where it is registered, as the package fastify-plugin does it.
Object.assign(handstamp, { [Symbol.for("skip-override")]: true, [Symbol.for("fastify.display-name")]: "handstamp" });

export default handstamp;
