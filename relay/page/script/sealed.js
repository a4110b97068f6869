// Sealed kubbis, as docs/wire.md has them: format 2. Nothing but that one form is
// opened, and the key goes nowhere.

// Refusal is an error whose message is for the person.
class Refusal extends Error {}

// objectOf gives an object, null for all else.
const objectOf = (s) => (s && typeof s === "object" && !Array.isArray(s) ? s : null);

const contentTypes = ["text/plain", "application/json", "text/markdown", "text/csv"];
const roles = ["instructions", "data", "context", "config", "attachment"];
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

// fragmentKey gives the key after the # of the link; undefined: there is none,
// null: it is not whole.
function fragmentKey() {
  const fragment = location.hash.slice(1);
  if (fragment === "") return undefined;
  const raw = /^k=[A-Za-z0-9_-]{43}$/.test(fragment) ? fromBase64(fragment.slice(2)) : null;
  return raw?.length === 32 ? raw : null;
}

async function keyID(raw) {
  const label = new TextEncoder().encode("kubbi-sealed-2-kid:");
  const data = new Uint8Array(label.length + raw.length);
  data.set(label);
  data.set(raw, label.length);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return btoa(String.fromCharCode(...hash)).replaceAll("+", "-").replaceAll("/", "_").slice(0, 16);
}

// unlock gives the key and its id for what has that seal, null for what is not sealed, and
// refuses where the two do not go together. A seal is {v, kid}.
async function unlock(seal) {
  const raw = fragmentKey();
  if (!seal && raw === undefined) return null;
  if (!seal) {
    throw new Refusal("This link has a key in it, but what it leads to is not sealed, and may not be what the sender sent. Ask them.");
  }
  if (raw === undefined) {
    throw new Refusal("The last part of the link is missing: a # and what follows it. It is the key, without which nobody can open this. Copy the whole link again, or ask the sender for it.");
  }
  if (raw === null) {
    throw new Refusal("The last part of the link, after the #, is not whole. It is the key. Copy the whole link again, or ask the sender for it.");
  }
  if (seal.v !== 2) throw new Refusal("This is sealed in a way that this page does not know yet.");
  if (!globalThis.crypto?.subtle) {
    throw new Refusal("Your browser opens what is sealed only on a page that came over https, or from this machine. Use the program kubbi-mcp, with the whole link.");
  }
  const kid = await keyID(raw);
  if (kid !== seal.kid) {
    throw new Refusal("The key in this link is not the one for this. The part after the # was changed, or belongs to another link: ask the sender for the whole link.");
  }
  return { kid, hkdf: await crypto.subtle.importKey("raw", raw, "HKDF", false, ["deriveKey"]) };
}

const badForm = () => new Refusal("it does not have the form of something sealed");
const wasChanged = () => new Refusal("it was changed or cut off on its way, or is sealed with another key");

const segmentSize = 64 * 1024, tagSize = 16, headerSize = 40, maxHead = 1024 * 1024;

// openStream opens a ciphertext of Tink's streaming AEAD, AES256-GCM-HKDF, segment
// by segment. Only a whole one is given.
async function openStream({ hkdf, kid }, sealed) {
  if (sealed.length < headerSize + tagSize || sealed[0] !== headerSize) throw badForm();
  const info = new TextEncoder().encode(`kubbi-sealed-2:${kid}`);
  const key = await crypto.subtle.deriveKey({ name: "HKDF", hash: "SHA-256", salt: sealed.subarray(1, 33), info },
    hkdf, { name: "AES-GCM", length: 256 }, false, ["decrypt"]);
  const plain = new Uint8Array(sealed.length);
  let size = 0;
  for (let n = 0, begin = headerSize, end; n === 0 || begin < sealed.length; n++, begin = end) {
    end = Math.min((n + 1) * segmentSize, sealed.length);
    const iv = new Uint8Array(12);
    iv.set(sealed.subarray(33, headerSize));
    new DataView(iv.buffer).setUint32(7, n);
    iv[11] = end === sealed.length ? 1 : 0;
    try {
      const piece = new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv, tagLength: 8 * tagSize }, key, sealed.subarray(begin, end)));
      plain.set(piece, size);
      size += piece.length;
    } catch {
      throw wasChanged();
    }
  }
  return plain.subarray(0, size);
}

// canonical is JSON with the members of its objects in order.
const canonical = (value) => JSON.stringify(value, (_, v) => (
  objectOf(v) ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v));

const isSize = (n) => Number.isSafeInteger(n) && n >= 0;

// openSealed opens the answer to a claim: whether it is a package, and its items.
async function openSealed(key, answer) {
  const [file, ...more] = Array.isArray(answer.files) ? answer.files : [];
  if (!file || more.length > 0 || file.encoding !== "base64" || typeof file.content !== "string") throw badForm();
  let sealed;
  try {
    sealed = fromPaddedBase64(file.content);
  } catch {
    throw badForm();
  }
  const plain = await openStream(key, sealed);
  const end = plain.indexOf(10);
  if (end < 0 || end >= maxHead) throw badForm();
  let head;
  try {
    head = objectOf(JSON.parse(utf8(plain.subarray(0, end))));
  } catch {
    throw badForm();
  }
  if (!head) throw badForm();
  if (canonical(head.metadata) !== canonical(answer.metadata)) throw new Refusal("its metadata was changed");
  const isPackage = Array.isArray(head.files);
  const told = isPackage ? head.files : [{ content_type: head.content_type, size_bytes: head.content_bytes }];
  let at = end + 1;
  const names = new Set();
  const items = told.map((f) => {
    const { name, content_type: type, role, encoding, size_bytes: size } = objectOf(f) ?? {};
    if (!isSize(size) || typeof type !== "string") throw badForm();
    const item = isPackage ? { name, type, role: role ?? "" } : { type };
    if (isPackage) {
      const lower = String(name).normalize("NFD").toLowerCase();
      if (!isFileName(name) || names.has(lower) || !isMIME(type) || !["", ...roles].includes(item.role) || !["", "base64"].includes(encoding ?? "")) throw badForm();
      names.add(lower);
    } else if (!contentTypes.includes(type)) {
      throw badForm();
    }
    item.data = plain.subarray(at, at + size);
    at += size;
    return item;
  });
  if (items.length === 0 || at !== plain.length) throw badForm();
  if (!isPackage) {
    try {
      const text = utf8(items[0].data);
      if (items[0].type === "application/json") JSON.parse(text);
    } catch {
      throw badForm();
    }
  }
  return { isPackage, items };
}

// isFileName has the rules of IsASCII and Fault in internal/filename. By
// the second one each character that can be seen may have a variation selector and
// a joiner behind it.
const fileName = new RegExp("^(?:(?:\\u{1f3f4}[\\u{e0020}-\\u{e007e}]{1,8}\\u{e007f}|" +
  "[\\u0600-\\u0605\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u{110bd}\\u{110cd}]|" +
  "[^\\p{Cc}\\p{Cf}\\p{Cs}\\p{Co}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\p{Noncharacter_Code_Point}/\\\\:*?\"<>|])" +
  "\\p{Variation_Selector}?[\\u200c\\u200d\\u180e]?)+$", "u");
const deviceName = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)/i;
const isFileName = (name) => typeof name === "string" && new TextEncoder().encode(name).length <= 255 && !name.includes("..") &&
  (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) || fileName.test(name) && !/^[.\-\p{Zs}\u2800\p{M}]|[.\p{Zs}\u2800\u200c\u200d\u180e]$/u.test(name) && !deviceName.test(name));

const isMIME = (type) => /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/.test(type);

