/** The settings of an app: where Handstamp is, and for whom the app is. */

import { SettingsError } from "./errors.js";

/** The settings as an app gives them. Those that are missing are read from `HANDSTAMP_…` in the environment. */
export interface Options {
  /** The URL at which this app reaches Handstamp, for its keys: `HANDSTAMP_URL`. */
  url?: string;
  /** The `public_url` of Handstamp, if it differs: `HANDSTAMP_PUBLIC_URL`. */
  publicUrl?: string;
  /** The origins at which browsers reach this app, if they differ: `HANDSTAMP_ORIGINS`, with commas. */
  origins?: string | string[];
  /** The app is for members of one of these groups: `HANDSTAMP_GROUPS`, with commas. */
  groups?: string | string[];
}

/** The settings after their checks. */
export interface Settings {
  readonly url: string;
  readonly publicUrl: string;
  readonly origins: readonly [string, ...string[]];
  readonly groups: readonly string[];
}

const NAMES = ["url", "publicUrl", "origins", "groups"];

/** Reads and checks the settings, or throws a `SettingsError`. */
export function readSettings(options: Options = {}, environment: NodeJS.ProcessEnv = process.env): Settings {
  // A misspelt restriction must not go unnoticed.
  const unknown = Object.keys(options).find((name) => !NAMES.includes(name));
  const misspelt = ["HANDSTAMP_GROUP", "HANDSTAMP_ORIGIN"].find((name) => name in environment);
  if (unknown || misspelt) {
    throw new SettingsError(`there is no setting ${unknown ?? misspelt}: there are ${NAMES.join(", ")}`);
  }
  // An empty variable counts as not set.
  const url = options.url || environment["HANDSTAMP_URL"];
  if (!url) {
    throw new SettingsError("HANDSTAMP_URL is not set: it is the URL of Handstamp, such as http://localhost:8000");
  }
  const checked = checkUrl("HANDSTAMP_URL", url);
  const publicUrl = checkOrigin("HANDSTAMP_PUBLIC_URL", options.publicUrl || environment["HANDSTAMP_PUBLIC_URL"] || checked);
  const [first = publicUrl, ...others] = list("HANDSTAMP_ORIGINS", options.origins ?? environment["HANDSTAMP_ORIGINS"]).map(
    (origin) => checkOrigin("HANDSTAMP_ORIGINS", origin),
  );
  const groups = list("HANDSTAMP_GROUPS", options.groups ?? environment["HANDSTAMP_GROUPS"]);
  return { url: checked, publicUrl, origins: [first, ...others], groups };
}

function list(name: string, value: unknown = []): string[] {
  const items: unknown = typeof value === "string" ? value.split(",") : value;
  if (!Array.isArray(items) || !items.every((item) => typeof item === "string")) {
    throw new SettingsError(`${name} must be a list of texts, or one text with commas`);
  }
  return items.map((item) => item.trim()).filter((item) => item !== "");
}

function checkUrl(name: string, value: unknown): string {
  const url = typeof value === "string" && URL.canParse(value) ? new URL(value) : undefined;
  if (!url || !["http:", "https:"].includes(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new SettingsError(`${name} is ${JSON.stringify(value)}, but must be a URL such as https://app.example.com`);
  }
  return url.origin + url.pathname.replace(/\/+$/, "");
}

function checkOrigin(name: string, value: string): string {
  const url = checkUrl(name, value);
  if (url !== new URL(url).origin) {
    throw new SettingsError(`${name} is ${JSON.stringify(value)}, but must have no path, such as https://app.example.com`);
  }
  return url;
}
