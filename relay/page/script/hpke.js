// HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
// AES-256-GCM: what encrypts a key for one recipient. Only the sender's side is here.

const kemSuite = joined(bytesOf("KEM"), [0x00, 0x20]);
const hpkeSuite = joined(bytesOf("HPKE"), [0x00, 0x20, 0x00, 0x01, 0x00, 0x02]);
const hpkeVersion = bytesOf("HPKE-v1");
const nothing = new Uint8Array(0);

async function hmac(raw, ...parts) {
  const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, joined(...parts)));
}

// labeledExtract is HKDF-Extract with a label. Without a salt its key is zeros, as HMAC
// would make it.
const labeledExtract = (suite, salt, label, input) =>
  hmac(salt.length > 0 ? salt : new Uint8Array(32), hpkeVersion, suite, bytesOf(label), input);

// labeledExpand is HKDF-Expand with a label, for at most 32 bytes: one round is enough.
const labeledExpand = async (suite, key, label, info, length) =>
  (await hmac(key, [length >> 8, length & 0xff], hpkeVersion, suite, bytesOf(label), info, [1])).subarray(0, length);

// hpkeSeal encrypts for the owner of an X25519 public key of 32 bytes. It gives the
// encapsulated key (32 bytes) and the ciphertext, joined. It throws if the browser has no
// X25519, or if the key is none.
async function hpkeSeal(publicKey, info, additional, plain) {
  const { subtle } = crypto;
  const recipient = await subtle.importKey("raw", publicKey, "X25519", true, []);
  const own = await subtle.generateKey("X25519", false, ["deriveBits"]);
  const encapsulated = new Uint8Array(await subtle.exportKey("raw", own.publicKey));
  const shared = new Uint8Array(await subtle.deriveBits({ name: "X25519", public: recipient }, own.privateKey, 256));

  const dh = await labeledExtract(kemSuite, nothing, "eae_prk", shared);
  const secret = await labeledExpand(kemSuite, dh, "shared_secret", joined(encapsulated, publicKey), 32);

  const noPSK = await labeledExtract(hpkeSuite, nothing, "psk_id_hash", nothing);
  const context = joined([0], noPSK, await labeledExtract(hpkeSuite, nothing, "info_hash", info));
  const schedule = await labeledExtract(hpkeSuite, secret, "secret", nothing);
  const raw = await labeledExpand(hpkeSuite, schedule, "key", context, 32);
  const iv = await labeledExpand(hpkeSuite, schedule, "base_nonce", context, 12); // of the first message, the only one

  const key = await subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt"]);
  const sealed = await subtle.encrypt({ name: "AES-GCM", iv, additionalData: additional, tagLength: 128 }, key, plain);
  return joined(encapsulated, new Uint8Array(sealed));
}

