// Prints password hashes that packages of npm made, for the passwords in the standard input. Run by make_vectors.py.

import { readFileSync } from "node:fs";
import { hashPassword } from "@better-auth/utils/password";
import { hashIdentityPasswordV3 } from "asp-identity-pw";
import { FirebaseScrypt } from "firebase-scrypt";

const firebase = {
  memCost: 8,
  rounds: 4,
  saltSeparator: "Bw==",
  signerKey: Buffer.from(Array.from({ length: 64 }, (_, index) => 255 - index)).toString("base64"),
};

// NFKC makes other letters of these.
const compatible = "ﬁle-①-plum";
console.log(JSON.stringify({ kind: "better_auth", hash: await hashPassword(compatible), password: compatible }));

for (const password of JSON.parse(readFileSync(0, "utf8"))) {
  const vector = (kind, hash, more) => console.log(JSON.stringify({ kind, hash, password, ...more }));
  vector("better_auth", await hashPassword(password));
  vector("aspnet", await hashIdentityPasswordV3(password));
  // The package refuses an empty password.
  if (password !== "") {
    const salt = "42xEC+ixf3L2lw==";
    vector("firebase", await new FirebaseScrypt(firebase).hash(password, salt), { salt, ...firebase });
  }
}
