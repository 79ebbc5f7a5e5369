// Makes the database of better-auth, as SQL, for tests/stories/import_from.rs: node make_better_auth.mjs FOLDER.
// `script/former-systems` installs what this needs.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createClient } from "@libsql/client";
import { LibsqlDialect } from "@libsql/kysely-libsql";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";

const PASSWORD = "plum-octave-harbour";
const made = mkdtempSync(join(tmpdir(), "better-auth-"));
const client = createClient({ url: `file:${join(made, "auth.db")}` });
const options = {
  database: { dialect: new LibsqlDialect({ client }), type: "sqlite" },
  secret: "a secret that is used for this fixture only",
  baseURL: "http://localhost:3000",
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
};
await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);
for (const [name, email] of [["Ada", "ada@example.com"], ["Bob", "bob@example.com"]]) {
  await auth.api.signUpEmail({ body: { name, email, password: PASSWORD } });
}
await client.execute(`UPDATE "user" SET "emailVerified" = 1 WHERE email = 'ada@example.com'`);
await client.execute(`UPDATE "user" SET "createdAt" = '2024-05-06T07:08:09.000Z', "updatedAt" = "createdAt"`);
await client.execute(`DELETE FROM "session"`);
// Carol signs in by another site, and has no password here.
await client.execute(`INSERT INTO "user" VALUES ('carol', 'Carol', 'carol@example.com', 1, NULL, '2024-05-06T07:08:09.000Z', '2024-05-06T07:08:09.000Z')`);
await client.execute(`INSERT INTO "account" ("id", "accountId", "providerId", "userId", "createdAt", "updatedAt")
  VALUES ('a', '42', 'github', 'carol', '2024-05-06T07:08:09.000Z', '2024-05-06T07:08:09.000Z')`);

const quoted = (value) => (value === null ? "NULL" : typeof value === "number" ? String(value) : `'${String(value).replaceAll("'", "''")}'`);
let text = "";
const tables = await client.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rootpage");
for (const { name, sql } of tables.rows) {
  text += `${sql};\n`;
  const { rows, columns } = await client.execute(`SELECT * FROM "${name}" ORDER BY 1`);
  for (const row of rows) {
    text += `INSERT INTO "${name}" VALUES (${columns.map((_, place) => quoted(row[place])).join(", ")});\n`;
  }
}
client.close();
rmSync(made, { recursive: true });
writeFileSync(join(process.argv[2], "better_auth.sql"), text);
