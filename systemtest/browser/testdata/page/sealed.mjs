// Opens claims with the claim page's own code, outside of a browser: what
// comes in on stdin, the script's files named on the command line.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const [dir, ...files] = process.argv.slice(2);
const code = await Promise.all(files.map((f) => readFile(f, "utf8")));
const whole = join(dir, "page.mjs");
await writeFile(whole, `${code.join("")}\nexport { unlock, openSealed, member, readJSON, indented, zipOf, isFileName };\n`);
const page = await import(pathToFileURL(whole));

let input = "";
for await (const piece of process.stdin) input += piece;
const b64 = (data) => Buffer.from(data).toString("base64");
const answers = [];
for (const { key, kid, answer, json, name } of JSON.parse(input)) {
  if (name !== undefined) {
    answers.push({ name: page.isFileName(name) });
    continue;
  }
  if (json !== undefined) {
    const tree = page.readJSON(json);
    answers.push({ text: page.member(`{"a":[{"content":1}],"content":${json},"b":"\\"content\\":2"}`, "content"), indented: tree && page.indented(json, tree) });
    continue;
  }
  globalThis.location = { hash: `#k=${key}` };
  try {
    const unlocked = await page.unlock({ v: 2, kid });
    const { items } = await page.openSealed(unlocked, answer);
    answers.push({ inside: items.map(({ name, type, role, data }) => ({ name: name || undefined, role: role || undefined, content_type: type, base64: b64(data) })) });
  } catch (e) {
    answers.push({ error: `${e.constructor.name}: ${e.message}` });
  }
}
process.stdout.write(JSON.stringify(answers));
