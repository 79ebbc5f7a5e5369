#!/usr/bin/env node
// Runs the program `handstamp` of the package for this processor, with this process's arguments, streams and signals.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";

const name = `@handstamp/${process.platform}-${process.arch}`;
let program;
try {
  program = createRequire(import.meta.url).resolve(`${name}/bin/handstamp`);
} catch {
  console.error(
    `handstamp: the package ${name} is not installed. It exists for Linux on x64 and arm64, ` +
      "and is left out by npm install --omit=optional.",
  );
  process.exit(1);
}

const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
// A terminal sends its signals to the program too, which ends first.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => child.kill(signal));
}
child.on("error", (error) => {
  console.error(`handstamp: ${program} cannot be started: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(signal ? 128 : code));
