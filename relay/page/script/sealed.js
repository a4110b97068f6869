// Sealed kubbis, as docs/sealed.md has them. Nothing but that one form is opened,
// and the key goes nowhere.

// Refusal is an error whose message is for the person.
class Refusal extends Error {}

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
  const label = new TextEncoder().encode("kubbi-sealed-v1-kid:");
  const data = new Uint8Array(label.length + raw.length);
  data.set(label);
  data.set(raw, label.length);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return btoa(String.fromCharCode(...hash)).replaceAll("+", "-").replaceAll("/", "_").slice(0, 16);
}

// unlock gives the key for what has that seal, null for what is not sealed, and
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
  if (seal.v !== 1) throw new Refusal("This is sealed in a way that this page does not know yet.");
  if (!globalThis.crypto?.subtle) {
    throw new Refusal("Your browser opens what is sealed only on a page that came over https, or from this machine. Use the program kubbi-mcp, with the whole link.");
  }
  if ((await keyID(raw)) !== seal.kid) {
    throw new Refusal("The key in this link is not the one for this. The part after the # was changed, or belongs to another link: ask the sender for the whole link.");
  }
  return crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["decrypt"]);
}

const badForm = () => new Refusal("it does not have the form of something sealed");
const badPlace = () => new Refusal("its files were swapped, or some are missing");

// members gives a JSON object that has those names, those marked ? perhaps, and
// no others, none twice.
function members(text, ...names) {
  const tree = readJSON(text, { twice: false, depth: 4 });
  if (!tree?.keys) throw badForm();
  const value = JSON.parse(text);
  for (const name of names) {
    if (!name.endsWith("?") && !Object.hasOwn(value, name)) throw badForm();
  }
  if (tree.keys.some((key) => !names.includes(key) && !names.includes(`${key}?`))) throw badForm();
  return value;
}

// openJWE decrypts one content, file or label.
async function openJWE(key, jwe) {
  const [head, none, iv, ciphertext, tag, ...more] = typeof jwe === "string" ? jwe.split(".") : [];
  if (tag === undefined || more.length > 0 || head.length > 4096 || none !== "" || iv.length !== 16 || tag.length !== 22) throw badForm();
  const [rawHead, rawIV, rawText, rawTag] = [head, iv, ciphertext, tag].map(fromBase64);
  if (!rawHead || !rawIV || !rawText || !rawTag) throw badForm();
  let text;
  try {
    text = utf8(rawHead);
  } catch {
    throw badForm();
  }
  const header = members(text, "alg", "enc", "cty", "kubbi");
  const part = members(member(text, "kubbi"), "v", "is", "file?", "files?", "label?");
  if (header.alg !== "dir" || header.enc !== "A256GCM" || typeof header.cty !== "string" || part.v !== 1) throw badForm();
  const data = new Uint8Array(rawText.length + rawTag.length);
  data.set(rawText);
  data.set(rawTag, rawText.length);
  try {
    const plain = await crypto.subtle.decrypt({ name: "AES-GCM", iv: rawIV, additionalData: new TextEncoder().encode(head), tagLength: 128 }, key, data);
    return { type: header.cty, part, data: new Uint8Array(plain) };
  } catch {
    throw new Refusal("it was changed on its way, or is sealed with another key");
  }
}

async function openContent(key, answer) {
  const { type, part, data } = await openJWE(key, answer.content);
  const item = { type, data };
  if (part.is !== "content" || Object.keys(part).length !== 2 || !contentTypes.includes(type)) throw badForm();
  let text;
  try {
    text = utf8(data);
    if (type === "application/json") JSON.parse(text);
  } catch {
    throw badForm();
  }
  return [item];
}

async function openFiles(key, answer) {
  const files = answer.files, items = new Array(files.length), names = new Set();
  if (files.length === 0) throw badPlace();
  for (const file of files) {
    if (file.encoding) throw badForm();
    const { type, part, data } = await openJWE(key, file.content);
    if (part.is !== "file" || part.files !== files.length || !Number.isInteger(part.file) || part.file < 1 || part.file > files.length ||
        file.name !== `file-${part.file}` || items[part.file - 1]) throw badPlace();
    const inner = await openJWE(key, part.label);
    if (inner.part.is !== "label" || Object.keys(inner.part).length !== 2) throw badForm();
    let text;
    try {
      text = utf8(inner.data);
    } catch {
      throw badForm();
    }
    const { name, role = "", encoding = "" } = members(text, "name", "role?", "encoding?");
    const lower = String(name).normalize("NFD").toLowerCase();
    if (!isFileName(name) || names.has(lower) || !isMIME(type) ||
        (role !== "" && !roles.includes(role)) || (encoding !== "" && encoding !== "base64")) throw badForm();
    names.add(lower);
    items[part.file - 1] = { name, type, role, data };
  }
  return items;
}

// isFileName has the rules of HostedFileName and FileNameFault in kubbi/api. By
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

