// Sealed kubbis, as docs/wire.md has them: format 2. Nothing but that one form is
// opened, and the key goes nowhere.

const contentTypes = ["text/plain", "application/json", "text/markdown", "text/csv"];
const roles = ["instructions", "data", "context", "config", "attachment"];

// fragmentKey gives the key after the # of the link; undefined: there is none,
// null: it is not whole.
function fragmentKey() {
  const fragment = location.hash.slice(1);
  if (fragment === "") return undefined;
  const raw = /^k=[A-Za-z0-9_-]{43}$/.test(fragment) ? fromBase64(fragment.slice(2)) : null;
  return raw?.length === 32 ? raw : null;
}

// unlock gives the key and its id for what has that seal, null for what is not sealed, and
// refuses where the two do not go together. A seal is {v, kid, to}.
async function unlock(seal) {
  const raw = fragmentKey();
  if (!seal && raw === undefined) return null;
  if (!seal) {
    throw new Refusal("This link has a key in it, but what it leads to is not sealed, and may not be what the sender sent. Ask them.");
  }
  if (!raw && seal.to) {
    throw new Refusal('This is sealed for the key of whoever it was sent to, and no browser has that key. Use the program kubbi-mcp where the key is: kubbi-mcp claim "the whole link".');
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
  return { kid, hkdf: await importHKDF(raw) };
}

const badForm = () => new Refusal("it does not have the form of something sealed");
const wasChanged = () => new Refusal("it was changed or cut off on its way, or is sealed with another key");

// openStream opens a ciphertext segment by segment. Only a whole one is given.
async function openStream({ hkdf, kid }, sealed) {
  if (sealed.length < headerSize + tagSize || sealed[0] !== headerSize) throw badForm();
  const key = await segmentKey(hkdf, kid, sealed, "decrypt");
  const plain = new Uint8Array(sealed.length);
  let size = 0;
  for (let n = 0, begin = headerSize, end; n === 0 || begin < sealed.length; n++, begin = end) {
    end = Math.min((n + 1) * segmentSize, sealed.length);
    try {
      const piece = new Uint8Array(await crypto.subtle.decrypt(segmentCipher(sealed, n, end === sealed.length), key, sealed.subarray(begin, end)));
      plain.set(piece, size);
      size += piece.length;
    } catch {
      throw wasChanged();
    }
  }
  return plain.subarray(0, size);
}

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

