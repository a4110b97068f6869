"""Lets a test on the other end of stdin and stdout use kubbi-mcp through a framework.

Each line in is a request, and each line out its answer, both JSON:

    {"list": true}                          {"tools": [NAME...]}
    {"call": NAME, "arguments": {...}}      {"text": TEXT, "error": true, false or null}

TEXT is all that the framework would give a model for the call. error is true
or false where the framework itself marks errors, and null where it does not.
"""

import asyncio
import json
import os
import sys

BIN = os.environ["KUBBI_BIN"]
ARGS = ["serve", "--allow-dir", os.environ["KUBBI_ALLOWED"]]
ENV = {name: os.environ[name] for name in ("KUBBI_DATA_DIR", "KUBBI_RELAY_URL", "PATH", "HOME")}

# What a framework prints by itself must not stand between the answers.
_out = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def text_of(blocks):
    """All of a result's blocks, those that are no text as JSON."""
    texts = []
    for block in blocks:
        fields = block if isinstance(block, dict) else block.model_dump(mode="json", by_alias=True)
        texts.append(fields["text"] if fields.get("type") == "text" else json.dumps(fields))
    return "\n".join(texts)


async def answer(names, call):
    """Answers requests until there are no more. names and call are the framework's."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        if "list" in request:
            reply = {"tools": sorted(await names())}
        else:
            text, error = await call(request["call"], request["arguments"])
            reply = {"text": text, "error": error}
        print(json.dumps(reply), file=_out, flush=True)
