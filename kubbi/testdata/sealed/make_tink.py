# Makes tink.json with Tink's library for Python, of which cryptography has no part:
#
#   python make_tink.py > tink.json
import base64
import hashlib
import io
import json

import tink
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

key = bytes(range(200, 232))
kid = base64.urlsafe_b64encode(hashlib.sha256(b"kubbi-sealed-2-kid:" + key).digest())[:16].decode()
metadata = {"by": "tink", "sealed": {"v": 2, "kid": kid}}
inside = [("plan.md", "context", "text/markdown", b"# Made by Tink\n"),
          ("bytes.bin", "", "application/octet-stream", b"0123456789abcdef" * 4200)]

head = {"files": [{"name": name, "content_type": kind, "size_bytes": len(data), **({"role": role} if role else {})}
                  for name, role, kind, data in inside], "metadata": metadata}
plain = json.dumps(head).encode() + b"\n" + b"".join(data for *_, data in inside)

streaming_aead.register()
params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
    ciphertext_segment_size=65536, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256)
value = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(params=params, key_value=key)
data = tink_pb2.KeyData(type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
                        value=value.SerializeToString(), key_material_type=tink_pb2.KeyData.SYMMETRIC)
keyset = tink_pb2.Keyset(primary_key_id=1, key=[tink_pb2.Keyset.Key(
    key_data=data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW)])
handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)


class Kept(io.BytesIO):
    """Tink closes what it writes to."""

    def close(self):
        pass


out = Kept()
with handle.primitive(streaming_aead.StreamingAead).new_encrypting_stream(out, b"kubbi-sealed-2:" + kid.encode()) as w:
    w.write(plain)
sealed = out.getvalue()

print(json.dumps({
    "claim_url": "https://api.kubbi.ai/r/" + "t" * 43 + "#k=" + base64.urlsafe_b64encode(key).decode().rstrip("="),
    "key": key.hex(),
    "kid": kid,
    "answer": {
        "type": "kubbi_package",
        "file_count": 1,
        "files": [{"name": "sealed", "content_type": "application/vnd.kubbi.sealed", "size_bytes": len(sealed), "role": None,
                   "content": base64.b64encode(sealed).decode(), "encoding": "base64"}],
        "metadata": metadata,
        "created_at": "2026-03-28T12:00:00.000Z",
        "expires_at": "2026-03-28T13:00:00.000Z",
    },
    "inside": [{"name": name, **({"role": role} if role else {}), "content_type": kind, "base64": base64.b64encode(data).decode()}
               for name, role, kind, data in inside],
}, indent=2))
