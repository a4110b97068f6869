// The AI SDK with its MCP client: an agent loop with a scripted model, so that
// the text is the one that a model gets. It speaks as python/host.py does.
import { createMCPClient } from "@ai-sdk/mcp";
import { Experimental_StdioMCPTransport as StdioTransport } from "@ai-sdk/mcp/mcp-stdio";
import { generateText, isStepCount } from "ai";
import { MockLanguageModelV4 } from "ai/test";
import { createInterface } from "node:readline";

const { KUBBI_BIN, KUBBI_ALLOWED, KUBBI_DATA_DIR, KUBBI_RELAY_URL, PATH, HOME } = process.env;
const client = await createMCPClient({
  transport: new StdioTransport({
    command: KUBBI_BIN,
    args: ["serve", "--allow-dir", KUBBI_ALLOWED],
    env: { KUBBI_DATA_DIR, KUBBI_RELAY_URL, PATH, HOME },
  }),
});
const tools = await client.tools();

const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
};

// use lets the scripted model call one tool, and gives what the model is asked
// with afterwards.
async function use(toolName, args) {
  let result, offered;
  const model = new MockLanguageModelV4({
    doGenerate: async ({ prompt, tools: offer }) => {
      offered = offer.map((tool) => tool.name);
      result = prompt.at(-1).role === "tool" ? prompt.at(-1).content[0].output : undefined;
      return toolName && !result
        ? {
            content: [{ type: "tool-call", toolCallId: "1", toolName, input: JSON.stringify(args) }],
            finishReason: { unified: "tool-calls", raw: undefined },
            usage,
            warnings: [],
          }
        : { content: [{ type: "text", text: "done" }], finishReason: { unified: "stop", raw: undefined }, usage, warnings: [] };
    },
  });
  await generateText({ model, tools, prompt: "go", stopWhen: isStepCount(2) });
  return { offered, result };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let reply;
  if (request.list) {
    reply = { tools: (await use()).offered.sort() };
  } else {
    const { result } = await use(request.call, request.arguments);
    const texts = result.type === "content" ? result.value.map((part) => part.text ?? JSON.stringify(part)) : [result.value];
    reply = { text: texts.join("\n"), error: result.type.startsWith("error") || null };
  }
  process.stdout.write(JSON.stringify(reply) + "\n");
}
await client.close();
