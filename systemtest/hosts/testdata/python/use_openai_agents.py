"""OpenAI's Agents SDK: MCP tools as function tools, each called as the runner calls it."""

import asyncio
import json
import os

from agents import Agent, RunContextWrapper
from agents.mcp import MCPServerStdio, MCPUtil
from agents.tool_context import ToolContext

import host


async def main():
    # True hands over structured content alone, where there is any; False, the default, content alone.
    structured = os.environ.get("KUBBI_STRUCTURED") == "1"
    params = {"command": host.BIN, "args": host.ARGS, "env": host.ENV}
    async with MCPServerStdio(params, use_structured_content=structured, client_session_timeout_seconds=60) as server:
        context, agent = RunContextWrapper(context=None), Agent(name="check", mcp_servers=[server])
        tools = {
            tool.name: tool
            for tool in await MCPUtil.get_function_tools(server, convert_schemas_to_strict=True, run_context=context, agent=agent)
        }

        async def names():
            # One whose schema can't be made strict is offered to the model without that promise.
            return [name if tool.strict_json_schema else f"{name}, not strict" for name, tool in tools.items()]

        async def call(tool, arguments):
            text = json.dumps(arguments)
            ctx = ToolContext(context=None, tool_name=tool, tool_call_id="call_1", tool_arguments=text)
            output = await tools[tool].on_invoke_tool(ctx, text)
            if isinstance(output, str):
                return output, None
            blocks = output if isinstance(output, list) else [output]
            return host.text_of(blocks), None

        await host.answer(names, call)


asyncio.run(main())
