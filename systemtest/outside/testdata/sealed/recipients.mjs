// Opens and makes what is sealed for recipients, and answers requests, with an HPKE of its own
// and nothing but Node.js. Its use is recipients.py's. The test puts the lines of docs/wire.md
// for sealed kubbis before these.
import assert from "node:assert/strict";
import { createCipheriv, createHmac, createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const base = process.env.KUBBI_BASE_URL;

const der = (prefix, raw) => Buffer.concat([Buffer.from(prefix, "hex"), raw]);
const privateKey = (raw) => createPrivateKey({ key: der("302e020100300506032b656e04220420", raw), format: "der", type: "pkcs8" });
const publicKey = (raw) => createPublicKey({ key: der("302a300506032b656e032100", raw), format: "der", type: "spki" });
const rawPublic = (key) => createPublicKey(key).export({ format: "der", type: "spki" }).subarray(12);
const keyId = (raw) => createHash("sha256").update("kubbi-recipient-1:").update(raw).digest("base64url").slice(0, 16);

const KEM = Buffer.from("4b454d0020", "hex"), HPKE = Buffer.from("48504b45002000010002", "hex"); // the suite's ids
const hmac = (key, ...parts) => createHmac("sha256", key).update(Buffer.concat(parts.map((p) => Buffer.from(p)))).digest();
const extract = (suite, salt, label, input) => hmac(salt, "HPKE-v1", suite, label, input);
const expand = (suite, key, label, info, size) => hmac(key, [0, size], "HPKE-v1", suite, label, info, [1]).subarray(0, size);

function hpkeKeys(own, other, encapsulated, recipient, binding) {
  const dh = extract(KEM, "", "eae_prk", diffieHellman({ privateKey: own, publicKey: other }));
  const shared = expand(KEM, dh, "shared_secret", Buffer.concat([encapsulated, recipient]), 32);
  const info = Buffer.concat([Buffer.from("kubbi-to-1:"), Buffer.from(binding)]);
  const context = Buffer.concat([Buffer.from([0]), extract(HPKE, "", "psk_id_hash", ""), extract(HPKE, "", "info_hash", info)]);
  const secret = extract(HPKE, shared, "secret", "");
  return [expand(HPKE, secret, "key", context, 32), expand(HPKE, secret, "base_nonce", context, 12)];
}

function openFor(raw, answer, binding = "") {
  const own = privateKey(raw), recipient = rawPublic(own), seal = answer.metadata.sealed;
  const wrapped = b64(seal.to.find((to) => to.kid === keyId(recipient)).key), encapsulated = wrapped.subarray(0, 32);
  const cipher = createDecipheriv("aes-256-gcm", ...hpkeKeys(own, publicKey(encapsulated), encapsulated, recipient, binding));
  cipher.setAAD(Buffer.from(seal.kid)).setAuthTag(wrapped.subarray(-16));
  const key = Buffer.concat([cipher.update(wrapped.subarray(32, -16)), cipher.final()]);
  if (kid(key) !== seal.kid) throw new Error("it was changed");
  return openSealed(`#k=${key.toString("base64url")}`, answer);
}

function bindingOf(token, message, fields = [], files = false) {
  const asked = fields.map(({ lines = false, name, secret = false }) => ({ lines, name, secret }));
  return createHash("sha256").update(JSON.stringify({ fields: asked, files, message, request: token })).digest();
}

const publicText = (raw) => "kbp_" + Buffer.concat([raw, createHash("sha256").update(raw).digest().subarray(0, 4)]).toString("base64url");

function fingerprint(raw) {
  const hash = createHash("sha256").update("kubbi-fingerprint-1:").update(raw).digest();
  const bits = [...hash.subarray(0, 10)].map((b) => b.toString(2).padStart(8, "0")).join("");
  return bits.match(/.{5}/g).map((five) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[parseInt(five, 2)]).join("").match(/.{4}/g).join("-");
}

// What is inside an answer, in the vectors' form.
function opened(raw, answer, binding) {
  const [head, parts] = openFor(raw, answer, binding);
  const told = head.files ?? [{ content_type: head.content_type }];
  assert.equal(told.length, parts.length);
  return told.map(({ size_bytes, encoding, ...f }, i) => ({ ...f, base64: parts[i].toString("base64") }));
}

// The answer with its encrypted keys changed.
function withKey(answer, change) {
  const { sealed } = answer.metadata;
  const to = sealed.to.map(({ kid, key }) => ({ kid, key: change(b64(key)).toString("base64url") }));
  return { ...answer, metadata: { ...answer.metadata, sealed: { ...sealed, to } } };
}

function checkVectors(folder) {
  const names = readdirSync(folder).filter((n) => n.endsWith(".json"));
  assert.notEqual(names.length, 0);
  for (const name of names) {
    const v = JSON.parse(readFileSync(join(folder, name), "utf8"));
    const raw = Buffer.from(v.private, "hex"), mine = rawPublic(privateKey(raw)), { answer, request: asked } = v;
    assert.deepEqual([publicText(mine), fingerprint(mine), keyId(mine)], [v.public, v.fingerprint, v.key_id]);
    let binding = "";
    if (asked) {
      binding = bindingOf(asked.token, asked.message, asked.fields, asked.files);
      assert.equal(binding.toString("hex"), asked.binding, name);
      assert.equal(asked.request_url.split("/q/")[1], `${asked.token}#p=${mine.toString("base64url")}`);
      assert.deepEqual(b64(v.claim_url.split("#i=")[1]), Buffer.concat([raw, binding]));
      assert.throws(() => openFor(raw, answer), /authenticate/);
      assert.throws(() => openFor(raw, answer, bindingOf(asked.token, `${asked.message} `, asked.fields, asked.files)), /authenticate/);
    }
    assert.deepEqual(opened(raw, answer, binding), v.inside, name);
    assert.throws(() => openFor(randomBytes(32), answer, binding), TypeError);
    for (const at of [0, 32, 79]) {
      const changed = withKey(answer, (b) => { b[at] ^= 1; return b; });
      assert.throws(() => openFor(raw, changed, binding), /authenticate/);
    }
    assert.throws(() => openFor(raw, { ...answer, metadata: { ...answer.metadata, more: 1 } }, binding), /changed/);
  }
}

async function call(method, path, body, key) {
  const headers = { ...(body && { "Content-Type": "application/json" }), ...(key && { Authorization: `Bearer ${key}` }) };
  const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method}: status ${answer.status}`);
  return answer.json();
}

async function checkClaims(raw, claims) {
  for (const { claim_url: url, inside } of claims) {
    const [, fragment] = url.split("#i=");
    const own = fragment ? b64(fragment) : raw;
    const answer = await call("POST", new URL(url).pathname + "/claim");
    assert.deepEqual(opened(own.subarray(0, 32), answer, own.subarray(32)), inside);
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

// The body of a create, without its terms.
function sealedFor(recipient, inside, binding = "") {
  const key = randomBytes(32), own = generateKeyPairSync("x25519"), encapsulated = rawPublic(own.privateKey);
  const cipher = createCipheriv("aes-256-gcm", ...hpkeKeys(own.privateKey, publicKey(recipient), encapsulated, recipient, binding));
  cipher.setAAD(Buffer.from(kid(key)));
  const wrapped = Buffer.concat([encapsulated, cipher.update(key), cipher.final(), cipher.getAuthTag()]);
  const metadata = { sealed: { v: 2, kid: kid(key), to: [{ kid: keyId(recipient), key: wrapped.toString("base64url") }] } };
  const parts = inside.map((i) => Buffer.from(i.base64, "base64"));
  const head = inside[0].name === undefined
    ? { content_type: inside[0].content_type, content_bytes: parts[0].length }
    : { files: inside.map(({ base64, ...i }, n) => ({ ...i, size_bytes: parts[n].length, encoding: "base64" })) };
  const content = seal(key, Buffer.concat([Buffer.from(`${JSON.stringify({ ...head, metadata })}\n`), ...parts])).toString("base64");
  return { files: [{ name: "sealed", content_type: "application/vnd.kubbi.sealed", encoding: "base64", content }], metadata };
}

async function make(recipient, ...inside) {
  const sent = await call("POST", "/api/v1/kubbis", { ...sealedFor(recipient, inside), ttl_seconds: 600, max_retrievals: 1 }, process.env.KUBBI_API_KEY);
  return { claim_url: sent.claim_url, inside };
}

async function reply(requestUrl, inside) {
  const url = new URL(requestUrl), asked = await call("GET", url.pathname);
  const binding = bindingOf(url.pathname.slice(3), asked.message, asked.fields, asked.files);
  assert.equal((await call("POST", url.pathname, sealedFor(b64(url.hash.slice(3)), inside, binding))).status, "answered");
}

const given = JSON.parse(readFileSync(0, "utf8"));
checkVectors(process.argv[2]);
await checkClaims(Buffer.from(given.private, "hex"), given.claims);
for (const { request_url, inside } of given.requests) await reply(request_url, inside);
const recipient = b64(given.public.slice(4)).subarray(0, 32);
console.log(JSON.stringify([
  await make(recipient, { content_type: "text/plain", base64: Buffer.from("made by Node.js, žluťoučký 🐎\n").toString("base64") }),
  await make(recipient, { name: "a.bin", content_type: "application/octet-stream", base64: randomBytes(150000).toString("base64") }),
]));
