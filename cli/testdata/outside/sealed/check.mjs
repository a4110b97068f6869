// Opens and makes sealed kubbis with the lines of docs/sealed.md, which the test
// puts before these, and with nothing but Node.js. Its use is check.py's.
import assert from "node:assert/strict";
import { createCipheriv, randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const base = process.env.KUBBI_BASE_URL;
const u64 = (b) => b.toString("base64url");
const plain = (content_type, data, label = {}) => ({ ...label, content_type, base64: Buffer.from(data).toString("base64") });

// What is inside an answer, in the vectors' form.
function opened(claimUrl, answer) {
  if (!answer.files) {
    const [header, data] = openSealed(claimUrl, answer.content);
    assert.deepEqual(header.kubbi, { v: 1, is: "content" });
    return [plain(header.cty, data)];
  }
  return answer.files.map((file, i) => {
    const [header, data] = openSealed(claimUrl, file.content);
    const { label, ...part } = header.kubbi;
    assert.deepEqual(part, { v: 1, is: "file", file: i + 1, files: answer.files.length });
    assert.deepEqual([file.name, file.content_type], [`file-${i + 1}`, "application/jose"]);
    const [kind, text] = openSealed(claimUrl, label);
    assert.deepEqual(kind.kubbi, { v: 1, is: "label" });
    const { encoding, ...rest } = JSON.parse(text);
    return plain(header.cty, data, rest);
  });
}

const flip = (s, at) => s.slice(0, at) + (s[at] === "A" ? "B" : "A") + s.slice(at + 1);

function checkVectors(folder) {
  const names = readdirSync(folder).filter((n) => n.endsWith(".json"));
  assert.notEqual(names.length, 0);
  for (const name of names) {
    const { claim_url: url, key: hex, kid: id, answer, inside } = JSON.parse(readFileSync(join(folder, name), "utf8"));
    const key = b64(url.split("#k=")[1]);
    assert.equal(key.toString("hex"), hex);
    assert.deepEqual([kid(key), answer.metadata.sealed.kid], [id, id]);
    assert.deepEqual(opened(url, answer), inside, name);
    const jwe = answer.content ?? answer.files[0].content;
    assert.throws(() => openSealed(flip(url, url.length - 5), jwe), /authenticate/);
    assert.throws(() => openSealed(url, flip(jwe, jwe.length - 10)), /authenticate/);
  }
}

async function call(method, path, body) {
  const headers = body && { "Content-Type": "application/json", Authorization: `Bearer ${process.env.KUBBI_API_KEY}` };
  const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method}: status ${answer.status}`);
  return answer.json();
}

async function checkClaims(claims) {
  for (const { claim_url: url, inside } of claims) {
    const path = new URL(url).pathname;
    const seen = await call("GET", path + "/inspect");
    assert.deepEqual(seen.metadata.sealed, { v: 1, kid: kid(b64(url.split("#k=")[1])) });
    assert.deepEqual(opened(url, await call("POST", path + "/claim")), inside);
  }
}

function seal(key, cty, part, data) {
  const head = u64(Buffer.from(JSON.stringify({ alg: "dir", enc: "A256GCM", cty, kubbi: { v: 1, ...part } })));
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(head));
  const out = Buffer.concat([cipher.update(data), cipher.final()]);
  return [head, "", u64(iv), u64(out), u64(cipher.getAuthTag())].join(".");
}

async function make(...inside) {
  const key = randomBytes(32);
  const create = { ttl_seconds: 600, max_retrievals: 1, metadata: { by: "node", sealed: { v: 1, kid: kid(key) } } };
  const bytes = (i) => Buffer.from(i.base64, "base64");
  if (inside[0].name === undefined) {
    Object.assign(create, { content_type: "text/plain", content: seal(key, inside[0].content_type, { is: "content" }, bytes(inside[0])) });
  } else {
    create.files = inside.map((i, n) => {
      const label = seal(key, "application/json", { is: "label" }, JSON.stringify({ name: i.name, role: i.role }));
      const part = { is: "file", file: n + 1, files: inside.length, label };
      return { name: `file-${n + 1}`, content_type: "application/jose", content: seal(key, i.content_type, part, bytes(i)) };
    });
  }
  const sent = await call("POST", "/api/v1/kubbis", create);
  return { claim_url: `${sent.claim_url}#k=${u64(key)}`, inside };
}

checkVectors(process.argv[2]);
await checkClaims(JSON.parse(readFileSync(0, "utf8")));
console.log(JSON.stringify([
  await make(plain("text/plain", "made by Node.js, žluťoučký 🐎\n")),
  await make(plain("application/json", '{"made": "by Node.js", "n": 1e2}')),
  await make(plain("text/csv", "")),
  await make(plain("text/markdown", "# Made by Node.js\n", { name: "README.md", role: "instructions" }),
    plain("image/png", randomBytes(100000), { name: "dot.png" }), plain("text/plain", "", { name: "empty.txt" })),
]));
