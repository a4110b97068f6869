"""Anthropic's MCP helper: it raises on blocks that its API does not take."""

import asyncio

from anthropic.lib.tools import ToolError
from anthropic.lib.tools.mcp import async_mcp_tool
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

import host


def text_of(blocks):
    return blocks if isinstance(blocks, str) else host.text_of(blocks)


async def main():
    server = StdioServerParameters(command=host.BIN, args=host.ARGS, env=host.ENV)
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        listed = (await session.list_tools()).tools
        tools = {tool.name: async_mcp_tool(tool, session, strict=True) for tool in listed}

        async def names():
            return [tool.to_dict()["name"] for tool in tools.values()]

        async def call(tool, arguments):
            try:
                return text_of(await tools[tool].call(arguments)), False
            except ToolError as e:
                return text_of(e.content), True

        await host.answer(names, call)


asyncio.run(main())
