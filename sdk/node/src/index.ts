/** Users of Handstamp in an app: verifies the assertion that Handstamp sends with each request. */

export {
  ConfigurationError,
  HandstampError,
  InvalidAssertionError,
  KeysUnavailableError,
  NotAssuredError,
  NotInGroupError,
  SettingsError,
} from "./errors.js";
export { readSettings, type Options, type Settings } from "./settings.js";
export { hasAssurance, isIn, type Level, type User } from "./user.js";
export { Verifier, type Log } from "./verifier.js";
export { accountUrl, type Page } from "./web.js";
