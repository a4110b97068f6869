# Opens and makes sealed kubbis with the lines of docs/wire.md, which the test
# puts before these, with Tink's own library, and with the official Python SDK:
#
#   python check.py VECTORS < claims.json
#
# VECTORS is the folder of the vectors; KUBBI_BASE_URL and KUBBI_API_KEY say where
# a relay is. Standard input has claim URLs and what is inside. Prints what it
# made itself, in the same form, and ends with an exception if anything is wrong.
import glob
import io
import os
import sys

import kubbi
import tink
from cryptography.exceptions import InvalidTag
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

BASE_URL = os.environ["KUBBI_BASE_URL"]
streaming_aead.register()


def u64(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


def tink_cipher(key):
    """Tink's cipher of the format."""
    params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
        ciphertext_segment_size=65536, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256)
    value = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(params=params, key_value=key)
    data = tink_pb2.KeyData(
        type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
        value=value.SerializeToString(), key_material_type=tink_pb2.KeyData.SYMMETRIC)
    keyset = tink_pb2.Keyset(primary_key_id=1, key=[tink_pb2.Keyset.Key(
        key_data=data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW)])
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


def aad(key):
    return b"kubbi-sealed-2:" + kid(key).encode()


def tink_open(claim_url, answer):
    """The plaintext, by Tink."""
    key = b64(claim_url.split("#k=")[1])
    sealed = io.BytesIO(base64.b64decode(answer["files"][0]["content"]))
    with tink_cipher(key).new_decrypting_stream(sealed, aad(key)) as plain:
        return plain.read()


class Kept(io.BytesIO):
    """Tink closes what it writes to."""

    def close(self):
        pass


def tink_seal(key, plain):
    out = Kept()
    with tink_cipher(key).new_encrypting_stream(out, aad(key)) as w:
        w.write(plain)
    return out.getvalue()


def opened(claim_url, answer):
    """What is inside an answer, in the vectors' form."""
    head, parts = open_sealed(claim_url, answer)
    line, _, rest = tink_open(claim_url, answer).partition(b"\n")
    assert json.loads(line) == head and rest == b"".join(parts), "Tink opens it to something else"
    told = head.get("files") or [{"content_type": head["content_type"]}]
    return [{**{k: v for k, v in f.items() if k in ("name", "role", "content_type")}, "base64": base64.b64encode(part).decode()}
            for f, part in zip(told, parts, strict=True)]


def refused(claim_url, answer, why):
    try:
        open_sealed(claim_url, answer)
    except (InvalidTag, ValueError):
        return
    raise AssertionError(why + " opens")


def check_vectors(folder):
    paths = sorted(glob.glob(os.path.join(folder, "*.json")))
    assert paths, "no vectors"
    for path in paths:
        with open(path, encoding="utf-8") as f:
            vector = json.load(f)
        url, answer = vector["claim_url"], vector["answer"]
        key = b64(url.split("#k=")[1])
        assert key.hex() == vector["key"] and kid(key) == vector["kid"] == answer["metadata"]["sealed"]["kid"], path
        assert opened(url, answer) == vector["inside"], path
        refused(url[:-2] + ("AA" if url[-2:] != "AA" else "EA"), answer, "another key")
        refused(url, {**answer, "metadata": {**answer["metadata"], "more": 1}}, "other metadata")
        sealed = base64.b64decode(answer["files"][0]["content"])
        for changed in (bytes([sealed[0] ^ 1]) + sealed[1:], sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:-1], sealed + b"\0"):
            refused(url, {**answer, "files": [{"content": base64.b64encode(changed).decode()}]}, "what was changed")


def check_claims(claims):
    for c in claims:
        url = c["claim_url"].split("#")[0]
        seen = kubbi.inspect(url, base_url=BASE_URL)
        seal = seen.metadata["sealed"]
        assert (seal["v"], seal["kid"]) == (2, kid(b64(c["claim_url"].split("#k=")[1]))), seal
        answer = kubbi.claim(url, base_url=BASE_URL).model_dump(mode="json")
        assert opened(c["claim_url"], answer) == c["inside"], c["claim_url"].split("#")[0]


def seal(key, plain):
    """Without Tink."""
    header = b"\x28" + os.urandom(39)
    aes = AESGCM(HKDF(SHA256(), 32, header[1:33], aad(key)).derive(key))
    cuts = [0, *range(65536 - 16 - 40, len(plain), 65536 - 16), len(plain)]
    out = header
    for n in range(len(cuts) - 1):
        out += aes.encrypt(header[33:] + n.to_bytes(4, "big") + bytes([n == len(cuts) - 2]), plain[cuts[n]:cuts[n + 1]], None)
    return out


def make(client, inside, sealing=seal):
    key = os.urandom(32)
    metadata = {"by": "python", "sealed": {"v": 2, "kid": kid(key)}}
    parts = [base64.b64decode(i["base64"]) for i in inside]
    head = {"content_type": inside[0]["content_type"], "content_bytes": len(parts[0])}
    if "name" in inside[0]:
        head = {"files": [{**{k: v for k, v in i.items() if k != "base64"}, "size_bytes": len(part)} for i, part in zip(inside, parts)]}
    plain = json.dumps({**head, "metadata": metadata}).encode() + b"\n" + b"".join(parts)
    files = [{"name": "sealed", "content_type": "application/vnd.kubbi.sealed", "encoding": "base64",
              "content": base64.b64encode(sealing(key, plain)).decode()}]
    sent = client.send_files(files=files, ttl_seconds=600, max_retrievals=1, metadata=metadata)
    return {"claim_url": f"{sent.claim_url}#k={u64(key)}", "inside": inside}


def plain(content_type, data, **label):
    return {**label, "content_type": content_type, "base64": base64.b64encode(data).decode()}


check_vectors(sys.argv[1])
check_claims(json.load(sys.stdin))
with kubbi.KubbiClient(api_key=os.environ["KUBBI_API_KEY"], base_url=BASE_URL) as client:
    print(json.dumps([
        make(client, [plain("text/plain", "made by Python, žluťoučký 🐎\n".encode())]),
        make(client, [plain("application/json", b'{"made": "by Python", "n": 1e2}')], tink_seal),
        make(client, [plain("text/csv", b"")]),
        make(client, [plain("text/markdown", b"# Made by Python\n", name="README.md", role="instructions"),
                      plain("image/png", bytes(range(256)) * 300, name="dot.png"), plain("text/plain", b"", name="empty.txt")], tink_seal),
    ]))
