// Uses kubbi-mcp as the official TypeScript SDK's clients do:
//
//	node check.mjs sdk|client legacy|2026-07-28 stdio|sse|http COMMAND|URL
//
// sdk is the first generation of the SDK, client the second.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [generation, era, transport, target] = process.argv.slice(2);
const modern = era !== "legacy";
const patience = 30_000; // milliseconds, for what the server sends by itself

async function load() {
  if (generation === "client") {
    const [main, stdio] = await Promise.all([
      import("@modelcontextprotocol/client"),
      import("@modelcontextprotocol/client/stdio"),
    ]);
    return {
      Client: main.Client,
      transports: [stdio.StdioClientTransport, main.SSEClientTransport, main.StreamableHTTPClientTransport],
      on: (client, method, handle) => client.setNotificationHandler(method, handle),
      call: (client, params, options) => client.callTool(params, options),
    };
  }
  const [client, stdio, sse, http, types] = await Promise.all([
    import("@modelcontextprotocol/sdk/client/index.js"),
    import("@modelcontextprotocol/sdk/client/stdio.js"),
    import("@modelcontextprotocol/sdk/client/sse.js"),
    import("@modelcontextprotocol/sdk/client/streamableHttp.js"),
    import("@modelcontextprotocol/sdk/types.js"),
  ]);
  const schemas = {
    "notifications/message": types.LoggingMessageNotificationSchema,
    "notifications/resources/updated": types.ResourceUpdatedNotificationSchema,
  };
  return {
    Client: client.Client,
    transports: [stdio.StdioClientTransport, sse.SSEClientTransport, http.StreamableHTTPClientTransport],
    on: (client, method, handle) => client.setNotificationHandler(schemas[method], handle),
    call: (client, params, options) => client.callTool(params, undefined, options),
  };
}

const sdk = await load();
const client = new sdk.Client(
  { name: "kubbi-mcp-check", version: "1" },
  modern ? { versionNegotiation: { mode: { pin: era } } } : {},
);
// What the checks find wrong they say themselves; this may help to see why.
client.onerror = (error) => console.error(`# ${error}`);

const news = { "notifications/message": [], "notifications/resources/updated": [] };
let wake = () => {};
for (const [method, seen] of Object.entries(news)) {
  sdk.on(client, method, (n) => {
    seen.push(n.params);
    wake();
  });
}

// received waits for a notification that matches.
async function received(method, matches) {
  const timer = setTimeout(() => wake(), patience);
  const end = Date.now() + patience;
  try {
    for (;;) {
      const found = news[method].find(matches);
      if (found) return found;
      assert.ok(Date.now() < end, `no ${method}: ${JSON.stringify(news[method])}`);
      await new Promise((resolve) => (wake = resolve));
    }
  } finally {
    clearTimeout(timer);
  }
}

async function call(name, args, options = {}) {
  const { meta, ...rest } = options;
  const result = await sdk.call(client, { name, arguments: args, ...(meta && { _meta: meta }) }, rest);
  assert.ok(!result.isError, `${name}: ${JSON.stringify(result.content)}`);
  return result.structuredContent;
}

// claim calls claim and takes its only block apart.
async function claim(args) {
  const result = await sdk.call(client, { name: "claim", arguments: args });
  assert.ok(!result.isError && result.content.length === 1 && !result.structuredContent, JSON.stringify(result));
  const { text } = result.content[0];
  const manifest = JSON.parse(text.split("\n").find((line) => line.startsWith('{"claimed":')));
  const found = /\n----- BEGIN PAYLOAD ([0-9a-f]{32}) -----\n([^]*)\n----- END PAYLOAD \1 -----$/.exec(text);
  return { manifest, payload: found?.[2] };
}

// answer answers a request as a person does, with a data directory of their own.
function answer(url) {
  const own = mkdtempSync(join(tmpdir(), "kubbi-answer-"));
  const env = { ...process.env, KUBBI_DATA_DIR: own, KUBBI_RELAY_URL: new URL(url).origin };
  return new Promise((resolve, reject) => {
    const child = execFile(process.env.KUBBI_BIN, ["answer", url], { env }, (error) => {
      rmSync(own, { recursive: true });
      error ? reject(error) : resolve();
    });
    child.stdin.end("canary-4711-from-a-person");
  });
}

let passed = 0;
async function check(name, run) {
  await run();
  passed++;
  console.log(`ok ${name}`);
}

const [Stdio, SSE, HTTP] = sdk.transports;
const messages = []; // as they come in
await check("connect", async () => {
  const pipe =
    transport === "stdio"
      ? new Stdio({ command: target, args: ["serve"], env: process.env, stderr: "ignore" })
      : new { sse: SSE, http: HTTP }[transport](new URL(target));
  await client.connect(pipe);
  const take = pipe.onmessage;
  pipe.onmessage = (message, extra) => {
    messages.push(message);
    take(message, extra);
  };
  assert.equal(client.getServerVersion().name, "kubbi-mcp");
});

await check("list tools", async () => {
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((t) => t.name).sort(), ["claim", "delete", "get", "inspect", "list", "request", "send", "send_files"]);
});

let sent;
await check("send", async () => {
  sent = await call("send", { content: { n: 1 }, metadata: { from: "TypeScript" } });
  assert.match(sent.claim_url, /\/r\//);
});
await check("inspect", async () => {
  assert.equal((await call("inspect", { claim_url: sent.claim_url })).status, "active");
});
await check("get", async () => {
  assert.equal((await call("get", { id: sent.id })).metadata.from, "TypeScript");
});
await check("list", async () => {
  const { kubbis } = await call("list", {});
  assert.ok(kubbis.some((k) => k.id === sent.id));
});

const uri = `kubbi://${sent.id}`;
await check("list and read resources", async () => {
  const { resources } = await client.listResources();
  assert.ok(resources.some((r) => r.uri === uri));
  const { contents } = await client.readResource({ uri });
  assert.equal(JSON.parse(contents[0].text).id, sent.id);
});
await check("complete an id", async () => {
  const { completion } = await client.complete({
    ref: { type: "ref/resource", uri: "kubbi://{id}" },
    argument: { name: "id", value: sent.id.slice(0, 8) },
  });
  assert.ok(completion.values.includes(sent.id));
});

let stop = () => client.unsubscribeResource({ uri });
await check("subscribe", async () => {
  if (modern) {
    const subscription = await client.listen({ resourceSubscriptions: [uri] });
    stop = () => subscription.close();
  } else {
    await client.subscribeResource({ uri });
  }
});
await check("claim", async () => {
  assert.equal((await claim({ claim_url: sent.claim_url })).payload, '{"n":1}');
});
await check("news of the claim", async () => {
  await received("notifications/resources/updated", (n) => n.uri === uri);
  await stop();
});

let pack;
await check("send files, with progress", async () => {
  messages.length = 0;
  pack = await call(
    "send_files",
    { files: [{ name: "a.txt", content: "a".repeat(4_000_000) }, { name: "b.json", content: "{}", role: "data" }] },
    { onprogress: () => {} }, // which asks for it
  );
  assert.equal(pack.file_count, 2);
  // All of it has come before the answer. The clients don't always call onprogress:
  // they take an answer at once, and a notification a moment later.
  const kinds = messages.map((m) => (m.method === "notifications/progress" ? m.params : m.result && "answer"));
  const end = kinds.lastIndexOf("answer");
  assert.ok(end > 0 && kinds[end - 1].progress === kinds[end - 1].total, JSON.stringify(kinds));
});
await check("claim files", async () => {
  const large = await claim({ claim_url: pack.claim_url });
  assert.equal(large.manifest.claimed, false);
  const { files } = (await claim({ claim_url: pack.claim_url, save_to: "received" })).manifest;
  assert.deepEqual(files.map((f) => f.name), ["a.txt", "b.json"]);
  assert.equal(readFileSync(files[0].path, "utf8"), "a".repeat(4_000_000));
});

await check("ask for a secret, and wait for it", async () => {
  const asked = await call("request", { message: "for the tests", fields: ["TOKEN"] });
  assert.match(asked.next, /^Show request_url to/);
  const waited = call("get", { id: asked.request_id, wait_seconds: 30 });
  await answer(asked.request_url);
  assert.equal((await waited).status, "answered");
  const refused = await sdk.call(client, { name: "claim", arguments: { claim_url: asked.request_id } });
  assert.ok(refused.isError && refused.content[0].text.includes("kubbi-mcp run --env-from"), JSON.stringify(refused));
});

await check("log messages", async () => {
  let meta;
  if (modern) {
    meta = { "io.modelcontextprotocol/logLevel": "debug" };
  } else {
    await client.setLoggingLevel("debug");
  }
  await call("get", { id: pack.id }, { meta });
  const { level } = await received("notifications/message", (n) => n.data?.tool === "get");
  assert.equal(level, "debug");
});
await check("delete", async () => {
  assert.equal((await call("delete", { id: pack.id })).status, "deleted");
});
await check("prompts", async () => {
  const { prompts } = await client.listPrompts();
  assert.ok(prompts.some((p) => p.name === "pickup"));
  const { messages } = await client.getPrompt({ name: "pickup", arguments: { claim_url: sent.claim_url } });
  assert.ok(messages[0].content.text.includes(sent.claim_url));
});
await check("a refusal", async () => {
  const result = await sdk.call(client, { name: "send", arguments: { contents: "x" } });
  assert.ok(result.isError && result.content[0].text.includes(`unknown "contents"`), JSON.stringify(result.content));
});

await client.close();
console.log(`${passed} passed`);
