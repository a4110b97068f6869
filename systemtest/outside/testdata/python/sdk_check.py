"""Drives a relay with the official Python SDK, unmodified, sync and async.

Reads KUBBI_BASE_URL and KUBBI_API_KEY. Prints one line for each check and a
closing line "N passed, N failed"; exits 1 if a check failed.
"""

import asyncio
import base64
import os
import sys
import traceback

import kubbi

BASE_URL = os.environ["KUBBI_BASE_URL"]
API_KEY = os.environ["KUBBI_API_KEY"]

BINARY = bytes(range(256)) * 5
JSON_VALUE = {"text": "žluťoučký 🐎", "list": [1, 2.5, None, True, {"deep": []}], "big": 9007199254740991}
PACKAGE = [
    {"name": "README.md", "content": "# Čtěte\n\x00\u2028", "content_type": "text/markdown", "role": "instructions"},
    {"name": "data.bin", "content": base64.b64encode(BINARY).decode(), "content_type": "application/octet-stream",
     "role": "data", "encoding": "base64"},
    {"name": "empty.txt", "content": "", "content_type": "text/plain"},
]
PACKAGE_SIZE = len(PACKAGE[0]["content"].encode()) + len(BINARY)


class Sync:
    """The SDK's synchronous half, behind the calls of its asynchronous one."""

    name = "sync"

    def __init__(self, key=API_KEY):
        self._client = kubbi.KubbiClient(api_key=key, base_url=BASE_URL)

    async def __aenter__(self):
        self._client.__enter__()
        return self

    async def __aexit__(self, *args):
        self._client.__exit__(*args)

    def __getattr__(self, method):
        call = getattr(self._client, method)

        async def run(*args, **kwargs):
            return call(*args, **kwargs)

        return run

    @staticmethod
    async def inspect(url, **kwargs):
        return kubbi.inspect(url, **kwargs)

    @staticmethod
    async def claim(url, **kwargs):
        return kubbi.claim(url, **kwargs)


class Async:
    """The SDK's asynchronous half."""

    name = "async"

    def __init__(self, key=API_KEY):
        self._client = kubbi.AsyncKubbiClient(api_key=key, base_url=BASE_URL)

    async def __aenter__(self):
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *args):
        await self._client.__aexit__(*args)

    def __getattr__(self, method):
        return getattr(self._client, method)

    inspect = staticmethod(kubbi.ainspect)
    claim = staticmethod(kubbi.aclaim)


async def raises(error, call):
    """Awaits call and gives the error that it raised, which must be of that very class."""
    try:
        result = await call
    except kubbi.KubbiError as raised:
        assert type(raised) is error, f"raised {type(raised).__name__}: {raised}"
        return raised
    raise AssertionError(f"no {error.__name__}, but {result!r}")


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


async def text(sdk):
    sent = await sdk.send("tři\ntečky… \x00\U0001f600", "text/plain", 60, max_retrievals=1, metadata={"n": 1, "é": ["x"]})
    equal(sent.status, "active")
    equal(sent.content_type, "text/plain")
    equal(sent.max_retrievals, 1)
    equal(sent.metadata, {"n": 1, "é": ["x"]})
    equal(sent.claim_url, f"{BASE_URL}/r/{sent.claim_token}")

    seen = await sdk.inspect(sent.claim_url)
    equal((seen.status, seen.content_type, seen.max_retrievals, seen.retrieval_count), ("active", "text/plain", 1, 0))
    equal(seen.metadata, {"n": 1, "é": ["x"]})
    equal(seen.is_package, False)

    claimed = await sdk.claim(sent.claim_url)
    equal(claimed.content, "tři\ntečky… \x00\U0001f600")
    equal(claimed.content_type, "text/plain")
    equal((claimed.created_at, claimed.expires_at), (sent.created_at, sent.expires_at))

    gone = await raises(kubbi.KubbiGoneError, sdk.claim(sent.claim_url))
    equal((gone.status, gone.code), (410, "gone"))
    await raises(kubbi.KubbiGoneError, sdk.inspect(sent.claim_url))
    detail = await sdk.get(sent.id)
    equal((detail.status, detail.retrieval_count), ("burned", 1))
    assert detail.first_retrieved_at and detail.first_retrieved_at == detail.last_retrieved_at


async def json_and_bare_token(sdk):
    sent = await sdk.send(JSON_VALUE, "application/json", 86400)
    equal(sent.max_retrievals, None)
    equal(sent.metadata, None)
    for count in (1, 2, 3):
        claimed = await sdk.claim(sent.claim_token, base_url=BASE_URL)
        equal(claimed.content, JSON_VALUE)
        equal((await sdk.inspect(sent.claim_token, base_url=BASE_URL)).retrieval_count, count)
    for suffix in ("/inspect", "/claim"):
        equal((await sdk.inspect(sent.claim_url + suffix)).status, "active")


async def package(sdk):
    sent = await sdk.send_files(PACKAGE, 600, max_retrievals=2, metadata={"from": "python"})
    equal((sent.file_count, sent.total_size_bytes), (3, PACKAGE_SIZE))

    seen = await sdk.inspect(sent.claim_url)
    equal(seen.is_package, True)
    equal((seen.kubbi_id, seen.file_count, seen.remaining_reads), (sent.id, 3, 2))
    equal([f.name for f in seen.files], ["README.md", "data.bin", "empty.txt"])
    equal([f.role for f in seen.files], ["instructions", "data", None])

    claimed = await sdk.claim(sent.claim_url)
    equal(claimed.is_package, True)
    equal(claimed.file_count, 3)
    equal([f.content_type for f in claimed.files], [f["content_type"] for f in PACKAGE])
    equal(claimed.files[0].content, PACKAGE[0]["content"])
    equal((claimed.files[1].encoding, base64.b64decode(claimed.files[1].content)), ("base64", BINARY))
    equal((claimed.files[2].content, claimed.files[2].size_bytes), ("", 0))
    equal((await sdk.inspect(sent.claim_url)).remaining_reads, 1)

    await sdk.claim(sent.claim_url)
    await raises(kubbi.KubbiGoneError, sdk.claim(sent.claim_url))
    detail = await sdk.get(sent.id)
    equal((detail.file_count, detail.total_size_bytes, detail.content_type), (3, PACKAGE_SIZE, None))


async def listing(sdk):
    ids = [(await sdk.send(f"n{i}", "text/plain", 60)).id for i in range(5)]
    first = await sdk.list(1, 2)
    equal((first.pagination.page, first.pagination.limit), (1, 2))
    equal([k.id for k in first.kubbis], [ids[4], ids[3]])
    second = await sdk.list(page=2, limit=2)
    equal([k.id for k in second.kubbis], [ids[2], ids[1]])
    equal((await sdk.list()).pagination.limit, 20)
    beyond = await sdk.list(page=100000)
    equal(beyond.kubbis, [])
    assert beyond.pagination.total >= 5


async def deleting(sdk):
    sent = await sdk.send("short", "text/plain", 60)
    answer = await sdk.delete(sent.id)
    assert all(isinstance(v, str) for v in answer.values()), answer
    equal((await sdk.get(sent.id)).status, "deleted")
    conflict = await raises(kubbi.KubbiConflictError, sdk.delete(sent.id))
    equal((conflict.status, conflict.code), (409, "conflict"))
    await raises(kubbi.KubbiGoneError, sdk.claim(sent.claim_url))


async def faults(sdk):
    fault = await raises(kubbi.KubbiValidationError, sdk.send(5, "text/plain", 5, max_retrievals=0))
    equal((fault.status, fault.code), (400, "validation_error"))
    for field in ("content", "ttl_seconds", "max_retrievals"):
        assert any(m.startswith(field) for m in fault.messages), (field, fault.messages)
    bad = [dict(PACKAGE[0]), dict(PACKAGE[1], name="readme.MD", content="not base64!")]
    fault = await raises(kubbi.KubbiValidationError, sdk.send_files(bad, 600))
    assert len(fault.messages) >= 2, fault.messages
    assert all("files[1]" in m for m in fault.messages), fault.messages

    missing = "00000000-0000-4000-8000-000000000000"
    await raises(kubbi.KubbiNotFoundError, sdk.get(missing))
    await raises(kubbi.KubbiNotFoundError, sdk.delete(missing))
    await raises(kubbi.KubbiNotFoundError, sdk.claim("A" * 43, base_url=BASE_URL))
    async with type(sdk)("kb_" + "B" * 43) as stranger:
        await raises(kubbi.KubbiAuthenticationError, stranger.list())
        await raises(kubbi.KubbiAuthenticationError, stranger.send("x", "text/plain", 60))


CHECKS = [text, json_and_bare_token, package, listing, deleting, faults]


async def main():
    passed = failed = 0
    for sdk_class in (Sync, Async):
        for check in CHECKS:
            try:
                async with sdk_class() as sdk:
                    await check(sdk)
            except Exception:
                failed += 1
                print(f"FAIL {sdk_class.name} {check.__name__}")
                traceback.print_exc()
            else:
                passed += 1
                print(f"ok   {sdk_class.name} {check.__name__}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
