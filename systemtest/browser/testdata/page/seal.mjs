// Seals with the request page's own code, outside of a browser: what comes in on
// stdin, the script's files named on the command line.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const [dir, ...files] = process.argv.slice(2);
const code = await Promise.all(files.map((f) => readFile(f, "utf8")));
const whole = join(dir, "page.mjs");
await writeFile(whole, `${code.join("")}\nexport { newKey, wrapKey, answerBinding, fingerprintOf, sealText, sealFiles, sealedSize, createBody, fromBase64, safeName, freeName, isFileName };\n`);
const page = await import(pathToFileURL(whole));

let input = "";
for await (const piece of process.stdin) input += piece;
const b64 = (data) => Buffer.from(data).toString("base64");
const answers = [];
for (const { name, taken, public: text, question, token, values, files: named, metadata } of JSON.parse(input)) {
  if (name !== undefined) {
    const safe = page.safeName(name), free = page.freeName(safe, taken ?? []);
    answers.push({ names: [safe, free], error: page.isFileName(safe) && page.isFileName(free) ? "" : "no name" });
    continue;
  }
  const answer = {}, key = await page.newKey();
  try {
    const options = { metadata };
    if (text) {
      const publicKey = page.fromBase64(text), binding = await page.answerBinding(question, token);
      Object.assign(answer, { fingerprint: await page.fingerprintOf(publicKey), binding: b64(binding) });
      options.to = [await page.wrapKey(key, publicKey, binding)];
    }
    const parts = [];
    const progress = (part) => parts.push(part);
    const made = values
      ? await page.sealText(key, "application/json", JSON.stringify(values), options, progress)
      : await page.sealFiles(key, named.map(({ name, content_type: type, base64 }) => ({ name, file: new Blob([Buffer.from(base64, "base64")], { type }) })), options, progress);
    if (parts.at(-1) !== 1) throw new Error(`the progress ended at ${parts.at(-1)}`);
    Object.assign(answer, { key: b64(key.raw), body: b64(await page.createBody(made, { ttl_seconds: 60 }).arrayBuffer()) });
  } catch (e) {
    answer.error = `${e.constructor.name}: ${e.message}`;
  }
  answers.push(answer);
}
process.stdout.write(JSON.stringify(answers));
