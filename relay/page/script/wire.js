// What opening and sealing have in common. docs/wire.md has the formats.

// Refusal is an error whose message is for the person.
class Refusal extends Error {}

// objectOf gives an object, null for all else.
const objectOf = (s) => (s && typeof s === "object" && !Array.isArray(s) ? s : null);

// utf8 reads text, and throws if it is not UTF-8. bytesOf is its inverse.
const utf8 = (data) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
const bytesOf = (text) => new TextEncoder().encode(text);

// joined joins byte arrays.
function joined(...parts) {
  const all = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));

const base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// fromBase64 reads base64url in its one spelling: no padding, no line ends, no
// bits after the last byte. It gives null for every other one.
function fromBase64(text) {
  if (text.length % 4 === 1 || !/^[A-Za-z0-9_-]*$/.test(text)) return null;
  const last = base64Letters.indexOf(text.at(-1) ?? "A");
  if ((text.length % 4 === 2 && last & 15) || (text.length % 4 === 3 && last & 3)) return null;
  return fromPaddedBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
}

// fromPaddedBase64 reads what the API gives as base64.
function fromPaddedBase64(text) {
  const binary = atob(text);
  const data = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) data[i] = binary.charCodeAt(i);
  return data;
}

// toBase64 writes base64url without padding.
const toBase64 = (data) => btoa(String.fromCharCode(...data)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

// keyID identifies a key without revealing it.
const keyID = async (raw) => toBase64(await sha256(bytesOf("kubbi-sealed-2-kid:"), raw)).slice(0, 16);

// A sealed payload is one ciphertext of Tink's streaming AEAD, AES256-GCM-HKDF, with
// segments of this size. A header stands before them: its own length, a salt, and the
// prefix of the nonces.
const segmentSize = 64 * 1024, tagSize = 16, saltSize = 32, headerSize = 40, maxHead = 1024 * 1024;

const importHKDF = (raw) => crypto.subtle.importKey("raw", raw, "HKDF", false, ["deriveKey"]);

// segmentKey derives the key of the segments from a header.
function segmentKey(hkdf, kid, header, use) {
  const derive = { name: "HKDF", hash: "SHA-256", salt: header.subarray(1, 1 + saltSize), info: bytesOf(`kubbi-sealed-2:${kid}`) };
  return crypto.subtle.deriveKey(derive, hkdf, { name: "AES-GCM", length: 256 }, false, [use]);
}

// segmentCipher is the cipher of segment n, with its nonce.
function segmentCipher(header, n, last) {
  const iv = new Uint8Array(12);
  iv.set(header.subarray(1 + saltSize, headerSize));
  new DataView(iv.buffer).setUint32(7, n);
  iv[11] = last ? 1 : 0;
  return { name: "AES-GCM", iv, tagLength: 8 * tagSize };
}

// canonical is JSON with the members of its objects in order, as in RFC 8785.
const canonical = (value) => JSON.stringify(value, (_, v) => (
  objectOf(v) ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v));

// isFileName has the rules of IsASCII and Fault in internal/filename. By
// the second one each character that can be seen may have a variation selector and
// a joiner behind it.
const fileName = new RegExp("^(?:(?:\\u{1f3f4}[\\u{e0020}-\\u{e007e}]{1,8}\\u{e007f}|" +
  "[\\u0600-\\u0605\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u{110bd}\\u{110cd}]|" +
  "[^\\p{Cc}\\p{Cf}\\p{Cs}\\p{Co}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\p{Noncharacter_Code_Point}/\\\\:*?\"<>|])" +
  "\\p{Variation_Selector}?[\\u200c\\u200d\\u180e]?)+$", "u");
const deviceName = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)/i;
const isFileName = (name) => typeof name === "string" && bytesOf(name).length <= 255 && !name.includes("..") &&
  (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) || fileName.test(name) && !/^[.\-\p{Zs}\u2800\p{M}]|[.\p{Zs}\u2800\u200c\u200d\u180e]$/u.test(name) && !deviceName.test(name));

const isMIME = (type) => /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/.test(type);

