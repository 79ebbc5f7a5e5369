// Prints which features of HTML and CSS in these files some mail program does not support, or not fully: one a line, sorted.
// The data is that of caniemail.com, which the package brings along.
//
//   node check.mjs FILE…

import { readFileSync } from "node:fs";

import { doIUseEmail } from "@jsx-email/doiuse-email";

const features = new Set();
for (const file of process.argv.slice(2)) {
  const { errors = [], warnings = [] } = doIUseEmail(readFileSync(file, "utf8"), { emailClients: ["*"] });
  for (const told of [...errors, ...warnings]) {
    features.add(told.split("`")[1]);
  }
}
console.log([...features].sort().join("\n"));
