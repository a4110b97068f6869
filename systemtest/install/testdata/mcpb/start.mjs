// Prints how a host starts a bundle: node start.mjs FOLDER CONFIG, both as JSON.
// CONFIG is what the user has filled in.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.KUBBI_MCPB, "x.js"));
const { getMcpConfigForManifest } = await import(require.resolve("@anthropic-ai/mcpb"));
const [folder, config] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
console.log(
  JSON.stringify(
    await getMcpConfigForManifest({
      manifest,
      extensionPath: folder,
      systemDirs: { HOME: process.env.HOME },
      userConfig: JSON.parse(config),
      pathSeparator: "/",
    }),
  ),
);
