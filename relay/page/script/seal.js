// Seals in the browser, in the format of docs/wire.md: for the owner of a public key, as a
// request's answer is, or under a key that goes into the claim URL.

const random = (size) => crypto.getRandomValues(new Uint8Array(size));

// newKey makes the key of one sealed kubbi: {raw, kid, hkdf}.
async function newKey() {
  const raw = random(32);
  return { raw, kid: await keyID(raw), hkdf: await importHKDF(raw) };
}

// sealedSize is how many bytes a plaintext of that size has when it is sealed.
const segmentsOf = (size) => Math.max(1, Math.ceil((size + headerSize) / (segmentSize - tagSize)));
const sealedSize = (size) => headerSize + size + segmentsOf(size) * tagSize;

// sealStream encrypts a Blob, segment by segment. Only a few segments are in memory: the
// browser may keep the parts of a Blob on disk. progress gets a number from 0 to 1.
async function sealStream({ kid, hkdf }, plain, progress) {
  const header = joined([headerSize], random(headerSize - 1));
  const key = await segmentKey(hkdf, kid, header, "encrypt");
  const count = segmentsOf(plain.size), plainSize = segmentSize - tagSize;
  const sealed = [header];
  let segments = [];
  for (let n = 0; n < count; n++) {
    const start = Math.max(0, n * plainSize - headerSize), end = Math.min(plain.size, (n + 1) * plainSize - headerSize);
    const data = await plain.slice(start, end).arrayBuffer();
    segments.push(await crypto.subtle.encrypt(segmentCipher(header, n, n === count - 1), key, data));
    if (segments.length === 64 || n === count - 1) {
      sealed.push(new Blob(segments));
      segments = [];
      progress(end / plain.size);
    }
  }
  return new Blob(sealed);
}

// sealContents seals contents under a key. head describes them, as inside a sealed kubbi,
// without metadata; contents are Blobs or texts. It gives {metadata, sealed}.
async function sealContents(key, head, contents, { text, to, metadata = {} }, progress) {
  const seal = { v: 2, kid: key.kid, ...(text && { text }), ...(to && { to }) };
  const outside = { sealed: seal, ...metadata };
  const line = JSON.stringify({ ...head, metadata: outside });
  if (bytesOf(line).length >= maxHead) throw new Refusal("There are too many files.");
  return { metadata: outside, sealed: await sealStream(key, new Blob([line, "\n", ...contents]), progress) };
}

// createBody is the body of a create, raw, of a sealed kubbi. more are other members of its
// head.
const createBody = ({ metadata, sealed }, more = {}) => new Blob([JSON.stringify({
  files: [{ name: "sealed", content_type: "application/vnd.kubbi.sealed", size_bytes: sealed.size, encoding: "base64" }], ...more, metadata,
}), "\n", sealed]);

// isText reports whether a Blob is UTF-8.
async function isText(blob) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for (let at = 0; at < blob.size; at += 1 << 20) {
      decoder.decode(await blob.slice(at, at + (1 << 20)).arrayBuffer(), { stream: true });
    }
    decoder.decode();
    return true;
  } catch (e) {
    if (e instanceof TypeError) return false;
    throw e; // the file can't be read
  }
}

// sealFiles seals files, which are {name, file}, as a package.
async function sealFiles(key, files, options, progress) {
  const head = [];
  let text = true;
  for (const { name, file } of files) {
    const plain = await isText(file);
    text &&= plain;
    const type = file.type.split(";")[0];
    const known = isMIME(type) && type !== "application/octet-stream" ? type : plain ? "text/plain" : "application/octet-stream";
    head.push({ name, content_type: known, size_bytes: file.size, ...(!plain && { encoding: "base64" }) });
  }
  return sealContents(key, { files: head }, files.map(({ file }) => file), { ...options, text }, progress);
}

// sealText seals a text of a type as the only content.
async function sealText(key, type, content, options, progress) {
  const bytes = bytesOf(content);
  return sealContents(key, { content_type: type, content_bytes: bytes.length }, [bytes], { ...options, text: true }, progress);
}

