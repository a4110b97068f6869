// Who may open an answer: its asker, and what the answer was given to.

// wrapKey encrypts a key for a recipient. It gives the entry of the seal's "to".
async function wrapKey({ raw, kid }, publicKey, binding) {
  const recipient = await sha256(bytesOf("kubbi-recipient-1:"), publicKey);
  const wrapped = await hpkeSeal(publicKey, joined(bytesOf("kubbi-to-1:"), binding), bytesOf(kid), raw);
  return { kid: toBase64(recipient).slice(0, 16), key: toBase64(wrapped) };
}

// answerBinding binds an answer to what was asked, and to the request of that token.
const answerBinding = ({ message, fields, files }, token) => sha256(bytesOf(canonical({
  fields: (fields ?? []).map(({ name, secret, lines }) => ({ lines: lines === true, name, secret: secret === true })),
  files: files === true, message, request: token,
})));

// fingerprintOf is what people compare of a public key: 80 bits in base32.
async function fingerprintOf(publicKey) {
  const bits = [...(await sha256(bytesOf("kubbi-fingerprint-1:"), publicKey)).subarray(0, 10)]
    .map((b) => b.toString(2).padStart(8, "0")).join("");
  const letters = bits.match(/.{5}/g).map((five) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[parseInt(five, 2)]).join("");
  return letters.match(/.{4}/g).join("-");
}

