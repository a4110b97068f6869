#!/usr/bin/env node
// Starts the binary that npm installed for this platform, as if it had been started itself.
"use strict";
const { spawn } = require("node:child_process");

const name = "kubbi-mcp";
const platform = `${name}-${process.platform}-${process.arch}`;
let binary;
try {
  binary = require.resolve(`${platform}/bin/${name}${process.platform === "win32" ? ".exe" : ""}`);
} catch {
  console.error(
    `${name}: npm has not installed ${platform}. Either there is none for this platform, or optional packages ` +
      `are turned off: install it with npm install --include=optional ${name}`,
  );
  process.exit(1);
}

const child = spawn(binary, process.argv.slice(2), { stdio: "inherit" });
// A terminal sends signals to both. Others send them to this process alone.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => child.kill(signal));
}
child.on("error", (err) => {
  console.error(`${name}: can't start ${binary}: ${err.message}`);
  process.exit(1);
});
child.on("exit", (code) => process.exit(code ?? 1));
