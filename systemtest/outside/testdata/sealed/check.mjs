// Opens and makes sealed kubbis with the lines of docs/wire.md, which the test
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
  const [head, parts] = openSealed(claimUrl, answer);
  const told = head.files ?? [{ content_type: head.content_type }];
  assert.equal(told.length, parts.length);
  return told.map(({ size_bytes, encoding, ...f }, i) => ({ ...f, base64: parts[i].toString("base64") }));
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
    assert.throws(() => openSealed(flip(url, url.length - 5), answer), /authenticate/);
    assert.throws(() => openSealed(url, { ...answer, metadata: { ...answer.metadata, more: 1 } }), /changed/);
    const sealed = Buffer.from(answer.files[0].content, "base64");
    const changed = [[0, 1], [1, 1], [40, 1], [sealed.length - 1, 1]].map(([at, bit]) => {
      const b = Buffer.from(sealed);
      b[at] ^= bit;
      return b;
    });
    for (const b of [...changed, sealed.subarray(0, -1), Buffer.concat([sealed, Buffer.alloc(1)])]) {
      assert.throws(() => openSealed(url, { ...answer, files: [{ content: b.toString("base64") }] }), /authenticate|changed/);
    }
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
    const { v, kid: id } = seen.metadata.sealed;
    assert.deepEqual([v, id], [2, kid(b64(url.split("#k=")[1]))]);
    assert.deepEqual(opened(url, await call("POST", path + "/claim")), inside);
  }
}

function seal(key, plain) {
  const header = Buffer.concat([Buffer.from([40]), randomBytes(39)]);
  const aes = Buffer.from(hkdfSync("sha256", key, header.subarray(1, 33), `kubbi-sealed-2:${kid(key)}`, 32));
  const out = [header];
  for (let n = 0, begin = 0, end; begin < plain.length || n === 0; n++, begin = end) {
    end = Math.min((n + 1) * 65520 - 40, plain.length);
    const number = Buffer.from([0, 0, 0, 0, end === plain.length]);
    number.writeUInt32BE(n);
    const cipher = createCipheriv("aes-256-gcm", aes, Buffer.concat([header.subarray(33), number]));
    out.push(cipher.update(plain.subarray(begin, end)), cipher.final(), cipher.getAuthTag());
  }
  return Buffer.concat(out);
}

async function make(...inside) {
  const key = randomBytes(32);
  const create = { ttl_seconds: 600, max_retrievals: 1, metadata: { by: "node", sealed: { v: 2, kid: kid(key) } } };
  const parts = inside.map((i) => Buffer.from(i.base64, "base64"));
  const head = inside[0].name === undefined
    ? { content_type: inside[0].content_type, content_bytes: parts[0].length }
    : { files: inside.map(({ base64, ...i }, n) => ({ ...i, size_bytes: parts[n].length })) };
  const line = `${JSON.stringify({ ...head, metadata: create.metadata })}\n`;
  const content = seal(key, Buffer.concat([Buffer.from(line), ...parts])).toString("base64");
  create.files = [{ name: "sealed", content_type: "application/vnd.kubbi.sealed", encoding: "base64", content }];
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
