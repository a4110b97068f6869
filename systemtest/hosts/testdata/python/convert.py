"""Puts the input schemas of all our tools through the converters of one virtual
environment, mcp1 or mcp2: what stands between a tool list and a model's API.

Prints "ok CONVERTER: 8 tools" or "FAIL CONVERTER, TOOL: why" for each.
"""

import asyncio
import copy
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


def openai_strict(tool, schema):
    """OpenAI's Agents SDK, as it converts MCP tools: an open object is refused."""
    from agents.strict_schema import ensure_strict_json_schema

    strict(ensure_strict_json_schema(schema, _reject_open_objects=True), tool.name)


def anthropic_strict(tool, schema):
    from anthropic import transform_schema

    closed(transform_schema(schema), tool.name)


def google_genai(tool, schema):
    """What Gemini's API asks of a declaration beyond its types, it answers with status 400."""
    from google.genai._mcp_utils import mcp_to_gemini_tool

    def check(s, path):
        kind = getattr(s.type, "value", s.type)
        assert kind and kind != "TYPE_UNSPECIFIED" or s.any_of, f"{path}: no type"
        assert kind != "OBJECT" or s.properties, f"{path}: OBJECT without properties"
        assert kind != "ARRAY" or s.items, f"{path}: ARRAY without items"
        assert not s.enum or kind == "STRING", f"{path}: enum of {kind}"
        for name, p in (s.properties or {}).items():
            check(p, f"{path}.{name}")
        for i in [s.items] if s.items else s.any_of or []:
            check(i, f"{path}[]")

    check(mcp_to_gemini_tool(tool).function_declarations[0].parameters, tool.name)


def voluptuous(tool, schema):
    """Home Assistant's converter; the result must take a call with the required arguments."""
    from voluptuous_openapi import convert_to_voluptuous

    validate = convert_to_voluptuous(schema)
    sample = {"claim_url": "u", "id": "i", "files": [{"name": "a", "content": "b"}], "message": "m"}
    call = {name: sample[name] for name in schema.get("required", [])}
    assert validate(call) == call


def pydantic_ai_openai(tool, schema):
    from pydantic_ai.profiles.openai import OpenAIJsonSchemaTransformer

    strict(OpenAIJsonSchemaTransformer(schema, strict=True).walk(), tool.name)


def pydantic_ai_google(tool, schema):
    from pydantic_ai.profiles.google import GoogleOpenAPISchemaTransformer

    GoogleOpenAPISchemaTransformer(schema, strict=None).walk()


def langchain_strict(tool, schema):
    """As LangChain converts a tool that its MCP adapter made, for OpenAI's strict mode."""
    from langchain_core.utils.function_calling import convert_to_openai_tool
    from langchain_mcp_adapters.tools import convert_mcp_tool_to_langchain_tool

    made = convert_mcp_tool_to_langchain_tool(None, tool, connection={"transport": "stdio", "command": "", "args": []})
    strict(convert_to_openai_tool(made, strict=True)["function"]["parameters"], tool.name)


def mcp_use(tool, schema):
    """mcp-use makes a pydantic model; what it dumps is what goes to the server."""
    from jsonschema_pydantic import jsonschema_to_pydantic

    model = jsonschema_to_pydantic(schema)
    assert set(model.model_fields) == set(schema["properties"])


def smolagents(tool, schema):
    """mcpadapt wants one type for each argument, and calls what has none a string."""
    from smolagents.models import get_tool_json_schema
    from mcpadapt.smolagents_adapter import SmolAgentsAdapter

    for name, p in schema["properties"].items():
        assert isinstance(p.get("type"), str), f"{name}: type {p.get('type')}"
    get_tool_json_schema(SmolAgentsAdapter().adapt(None, tool))


CONVERTERS = {
    "mcp1": [langchain_strict, mcp_use, smolagents],
    "mcp2": [openai_strict, anthropic_strict, google_genai, voluptuous, pydantic_ai_openai, pydantic_ai_google],
}


def strict(schema, path):
    """What OpenAI's API asks of a strict schema: see "Structured Outputs", supported schemas."""
    if schema.get("type") == "object":
        assert sorted(schema.get("required", [])) == sorted(schema["properties"]), f"{path}: not all are required"
    closed(schema, path, strict)


def closed(schema, path, check=None):
    check = check or closed
    assert "type" in schema or "enum" in schema or "anyOf" in schema, f"{path}: no type"
    if schema.get("type") == "object":
        assert schema.get("additionalProperties") is False, f"{path}: an open object"
        for name, p in schema["properties"].items():
            check(p, f"{path}.{name}")
    if schema.get("type") == "array":
        check(schema["items"], f"{path}[]")


async def main(environment):
    env = {name: os.environ[name] for name in ("KUBBI_DATA_DIR", "KUBBI_RELAY_URL", "PATH", "HOME")}
    server = StdioServerParameters(command=os.environ["KUBBI_BIN"], args=["serve"], env=env)
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
    for convert in CONVERTERS[environment]:
        bad = 0
        for tool in tools:
            schema = tool.input_schema if hasattr(tool, "input_schema") else tool.inputSchema
            try:
                convert(tool, copy.deepcopy(schema))
            except Exception as e:
                bad += 1
                print(f"FAIL {convert.__name__}, {tool.name}: {type(e).__name__}: {e}")
        if not bad:
            print(f"ok {convert.__name__}: {len(tools)} tools")


asyncio.run(main(sys.argv[1]))
