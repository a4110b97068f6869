"""mcp-use: LangChain tools whose arguments go through a pydantic model, so that what is left out comes as null."""

import asyncio
import os

os.environ["MCP_USE_ANONYMIZED_TELEMETRY"] = "false"

from mcp_use import MCPClient
from mcp_use.agents.adapters.langchain_adapter import LangChainAdapter

import host


async def main():
    server = {"command": host.BIN, "args": host.ARGS, "env": host.ENV}
    client = MCPClient(config={"mcpServers": {"kubbi": server}})
    try:
        adapter = LangChainAdapter()
        await adapter.create_tools(client)
        tools = {tool.name: tool for tool in adapter.tools}

        async def names():
            return list(tools)

        async def call(tool, arguments):
            output = await tools[tool].ainvoke(arguments)
            if isinstance(output, dict):  # its format_error
                return str(output), True
            return output if isinstance(output, str) else host.text_of(output), False

        await host.answer(names, call)
    finally:
        await client.close_all_sessions()


asyncio.run(main())
