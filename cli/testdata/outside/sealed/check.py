# Opens and makes sealed kubbis with the lines of docs/sealed.md, which the test
# puts before these, and with the official Python SDK:
#
#   python check.py VECTORS < claims.json
#
# VECTORS is the folder of the vectors; KUBBI_BASE_URL and KUBBI_API_KEY say where
# a relay is. Standard input has claim URLs and what is inside. Prints what it
# made itself, in the same form, and ends with an exception if anything is wrong.
import glob
import os
import sys

import kubbi
from cryptography.exceptions import InvalidTag

BASE_URL = os.environ["KUBBI_BASE_URL"]


def u64(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


def opened(claim_url, answer):
    """What is inside an answer, in the vectors' form."""
    if answer.get("files") is None:
        header, data = open_sealed(claim_url, answer["content"])
        assert header["kubbi"] == {"v": 1, "is": "content"}, header
        return [{"content_type": header["cty"], "base64": base64.b64encode(data).decode()}]
    inside = []
    for place, file in enumerate(answer["files"], 1):
        header, data = open_sealed(claim_url, file["content"])
        part = header["kubbi"]
        assert (part["v"], part["is"], part["file"], part["files"]) == (1, "file", place, len(answer["files"])), part
        assert file["name"] == f"file-{place}" and file["content_type"] == "application/jose", file
        kind, label = open_sealed(claim_url, part["label"])
        assert kind["kubbi"] == {"v": 1, "is": "label"}, kind
        label = json.loads(label)
        label.pop("encoding", None)
        inside.append({**label, "content_type": header["cty"], "base64": base64.b64encode(data).decode()})
    return inside


def refused(claim_url, jwe):
    try:
        open_sealed(claim_url, jwe)
    except InvalidTag:
        return
    raise AssertionError("what was changed opens")


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
        jwe = answer.get("content") or answer["files"][0]["content"]
        refused(url[:-2] + ("AA" if url[-2:] != "AA" else "EA"), jwe)
        head, tail = jwe[:-10], jwe[-10:]
        refused(url, head + ("A" if tail[0] != "A" else "B") + tail[1:])


def check_claims(claims):
    for c in claims:
        url = c["claim_url"].split("#")[0]
        seen = kubbi.inspect(url, base_url=BASE_URL)
        assert seen.metadata["sealed"] == {"v": 1, "kid": kid(b64(c["claim_url"].split("#k=")[1]))}, seen.metadata
        answer = kubbi.claim(url, base_url=BASE_URL).model_dump()
        assert opened(c["claim_url"], answer) == c["inside"], c["claim_url"].split("#")[0]


def seal(key, cty, part, data):
    head = u64(json.dumps({"alg": "dir", "enc": "A256GCM", "cty": cty, "kubbi": {"v": 1, **part}}).encode())
    iv = os.urandom(12)
    out = AESGCM(key).encrypt(iv, data, head.encode())
    return ".".join([head, "", u64(iv), u64(out[:-16]), u64(out[-16:])])


def make(client, inside):
    key = os.urandom(32)
    metadata = {"by": "python", "sealed": {"v": 1, "kid": kid(key)}}
    if "name" not in inside[0]:
        jwe = seal(key, inside[0]["content_type"], {"is": "content"}, base64.b64decode(inside[0]["base64"]))
        sent = client.send(content=jwe, content_type="text/plain", ttl_seconds=600, max_retrievals=1, metadata=metadata)
    else:
        files = []
        for place, i in enumerate(inside, 1):
            label = json.dumps({k: v for k, v in i.items() if k in ("name", "role")}).encode()
            part = {"is": "file", "file": place, "files": len(inside), "label": seal(key, "application/json", {"is": "label"}, label)}
            jwe = seal(key, i["content_type"], part, base64.b64decode(i["base64"]))
            files.append({"name": f"file-{place}", "content_type": "application/jose", "content": jwe})
        sent = client.send_files(files=files, ttl_seconds=600, max_retrievals=1, metadata=metadata)
    return {"claim_url": f"{sent.claim_url}#k={u64(key)}", "inside": inside}


def plain(content_type, data, **label):
    return {**label, "content_type": content_type, "base64": base64.b64encode(data).decode()}


check_vectors(sys.argv[1])
check_claims(json.load(sys.stdin))
with kubbi.KubbiClient(api_key=os.environ["KUBBI_API_KEY"], base_url=BASE_URL) as client:
    print(json.dumps([
        make(client, [plain("text/plain", "made by Python, žluťoučký 🐎\n".encode())]),
        make(client, [plain("application/json", b'{"made": "by Python", "n": 1e2}')]),
        make(client, [plain("text/csv", b"")]),
        make(client, [plain("text/markdown", b"# Made by Python\n", name="README.md", role="instructions"),
                      plain("image/png", bytes(range(256)) * 300, name="dot.png"), plain("text/plain", b"", name="empty.txt")]),
    ]))
