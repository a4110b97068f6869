# Opens and makes what is sealed for recipients, and answers requests. Its key pairs are
# cryptography's, its HPKE is pyhpke's. The test puts the lines of docs/wire.md for sealed
# kubbis before these.
#
#   python recipients.py VECTORS < input.json
#
# VECTORS is the folder of the vectors; KUBBI_BASE_URL and KUBBI_API_KEY say where a relay
# is. Prints what it made, and ends with an exception if anything is wrong.
import glob
import os
import sys
import urllib.request

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey, PyHPKEError

BASE_URL = os.environ["KUBBI_BASE_URL"]
hpke = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)


def key_id(public):
    return base64.urlsafe_b64encode(hashlib.sha256(b"kubbi-recipient-1:" + public).digest())[:16].decode()


def open_for(private, answer, binding=b""):
    own, seal = X25519PrivateKey.from_private_bytes(private), answer["metadata"]["sealed"]
    mine = key_id(own.public_key().public_bytes_raw())
    wrapped = b64(next(to["key"] for to in seal["to"] if to["kid"] == mine))
    context = hpke.create_recipient_context(wrapped[:32], KEMKey.from_pyca_cryptography_key(own), info=b"kubbi-to-1:" + binding)
    key = context.open(wrapped[32:], aad=seal["kid"].encode())
    if kid(key) != seal["kid"]:
        raise ValueError("it was changed")
    return open_sealed("#k=" + base64.urlsafe_b64encode(key).decode().rstrip("="), answer)


def binding_of(token, message, fields=(), files=False):
    asked = [{"lines": f.get("lines", False), "name": f["name"], "secret": f.get("secret", False)} for f in fields]
    text = json.dumps({"fields": asked, "files": files, "message": message, "request": token}, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def u64(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


def public_text(public):
    return "kbp_" + u64(public + hashlib.sha256(public).digest()[:4])


def fingerprint(public):
    text = base64.b32encode(hashlib.sha256(b"kubbi-fingerprint-1:" + public).digest()[:10]).decode()
    return "-".join(text[i:i + 4] for i in range(0, 16, 4))


def opened(private, answer, binding=b""):
    """What is inside an answer, in the vectors' form."""
    head, parts = open_for(private, answer, binding)
    told = head.get("files") or [{"content_type": head["content_type"]}]
    return [{**{k: v for k, v in f.items() if k in ("name", "role", "content_type")}, "base64": base64.b64encode(part).decode()}
            for f, part in zip(told, parts, strict=True)]


def refused(why, private, answer, binding=b""):
    try:
        open_for(private, answer, binding)
    except (InvalidTag, PyHPKEError, StopIteration, ValueError):
        return
    raise AssertionError(why + " opens")


def with_key(answer, change):
    """The answer with its encrypted keys changed."""
    seal = answer["metadata"]["sealed"]
    to = [{**t, "key": u64(change(b64(t["key"])))} for t in seal["to"]]
    return {**answer, "metadata": {**answer["metadata"], "sealed": {**seal, "to": to}}}


def check_vectors(folder):
    paths = sorted(glob.glob(os.path.join(folder, "*.json")))
    assert paths, "no vectors"
    for path in paths:
        with open(path, encoding="utf-8") as f:
            v = json.load(f)
        private, answer, binding = bytes.fromhex(v["private"]), v["answer"], b""
        public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
        assert (public_text(public), fingerprint(public), key_id(public)) == (v["public"], v["fingerprint"], v["key_id"]), path
        if asked := v.get("request"):
            binding = binding_of(asked["token"], asked["message"], asked.get("fields", ()), asked.get("files", False))
            assert binding.hex() == asked["binding"], path
            assert asked["request_url"].split("/q/")[1] == asked["token"] + "#p=" + u64(public), path
            assert b64(v["claim_url"].split("#i=")[1]) == private + binding, path
            refused("another request", private, answer)
            refused("a changed message", private, answer, binding_of(asked["token"], asked["message"] + " ", asked.get("fields", ()), asked.get("files", False)))
        assert opened(private, answer, binding) == v["inside"], path
        refused("another key", os.urandom(32), answer, binding)
        for at in (0, 32, 79):
            refused("a flipped bit", private, with_key(answer, lambda b: b[:at] + bytes([b[at] ^ 1]) + b[at + 1:]), binding)
        refused("a cut key", private, with_key(answer, lambda b: b[:-1]), binding)
        refused("more metadata", private, {**answer, "metadata": {**answer["metadata"], "more": 1}}, binding)


def call(method, path, body=None, key=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": "Bearer " + key} if key else {})
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(urllib.request.Request(BASE_URL + path, data, headers, method=method)) as answer:
        return json.load(answer)


def check_claims(private, claims):
    for c in claims:
        url, _, fragment = c["claim_url"].partition("#")
        mine, binding = private, b""
        if fragment:
            mine, binding = b64(fragment.removeprefix("i="))[:32], b64(fragment.removeprefix("i="))[32:]
        answer = call("POST", url.removeprefix(BASE_URL) + "/claim")
        assert opened(mine, answer, binding) == c["inside"], "it opens to something else"


def seal(key, plain):
    header = b"\x28" + os.urandom(39)
    aes = AESGCM(HKDF(SHA256(), 32, header[1:33], b"kubbi-sealed-2:" + kid(key).encode()).derive(key))
    cuts = [0, *range(65536 - 16 - 40, len(plain), 65536 - 16), len(plain)]
    out = header
    for n in range(len(cuts) - 1):
        out += aes.encrypt(header[33:] + n.to_bytes(4, "big") + bytes([n == len(cuts) - 2]), plain[cuts[n]:cuts[n + 1]], None)
    return out


def sealed_for(public, inside, binding=b""):
    """The body of a create, without its terms."""
    key = os.urandom(32)
    recipient = KEMKey.from_pyca_cryptography_key(X25519PublicKey.from_public_bytes(public))
    encapsulated, context = hpke.create_sender_context(recipient, info=b"kubbi-to-1:" + binding)
    wrapped = encapsulated + context.seal(key, aad=kid(key).encode())
    metadata = {"sealed": {"v": 2, "kid": kid(key), "to": [{"kid": key_id(public), "key": u64(wrapped)}]}}
    parts = [base64.b64decode(i["base64"]) for i in inside]
    head = {"content_type": inside[0]["content_type"], "content_bytes": len(parts[0])}
    if "name" in inside[0]:
        head = {"files": [{"name": i["name"], "content_type": i["content_type"], "size_bytes": len(part), "encoding": "base64"} for i, part in zip(inside, parts)]}
    plain = json.dumps({**head, "metadata": metadata}).encode() + b"\n" + b"".join(parts)
    files = [{"name": "sealed", "content_type": "application/vnd.kubbi.sealed", "encoding": "base64",
              "content": base64.b64encode(seal(key, plain)).decode()}]
    return {"files": files, "metadata": metadata}


def make(public, inside):
    sent = call("POST", "/api/v1/kubbis", {**sealed_for(public, inside), "ttl_seconds": 600, "max_retrievals": 1}, os.environ["KUBBI_API_KEY"])
    return {"claim_url": sent["claim_url"], "inside": inside}


def reply(request_url, inside):
    path, _, fragment = request_url.removeprefix(BASE_URL).partition("#p=")
    asked = call("GET", path)
    binding = binding_of(path.removeprefix("/q/"), asked["message"], asked.get("fields", ()), asked.get("files", False))
    assert call("POST", path, sealed_for(b64(fragment), inside, binding))["status"] == "answered"


given = json.load(sys.stdin)
check_vectors(sys.argv[1])
check_claims(bytes.fromhex(given["private"]), given["claims"])
for r in given["requests"]:
    reply(r["request_url"], r["inside"])
public = b64(given["public"].removeprefix("kbp_"))[:32]
print(json.dumps([
    make(public, [{"content_type": "text/plain", "base64": base64.b64encode("made by Python, žluťoučký 🐎\n".encode()).decode()}]),
    make(public, [{"name": "a.bin", "content_type": "application/octet-stream", "base64": base64.b64encode(bytes(range(256)) * 600).decode()}]),
]))
