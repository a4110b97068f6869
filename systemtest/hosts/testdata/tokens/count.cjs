// Counts the tokens of a tools/list result on stdin, as o200k has them: whole, and
// without output schemas. The tokenizer stands in the folder of the first argument.
const { createRequire } = require("module");
const { encode } = createRequire(process.argv[2] + "/")("gpt-tokenizer/encoding/o200k_base");

const result = JSON.parse(require("fs").readFileSync(0, "utf8"));
const count = (value) => encode(JSON.stringify(value)).length;
const tools = result.tools.map(({ outputSchema, ...tool }) => tool);
process.stdout.write(JSON.stringify({
  whole: count(result),
  withoutOutputs: count({ ...result, tools }),
  tools: Object.fromEntries(tools.map((t) => [t.name, count(t)])),
}));
