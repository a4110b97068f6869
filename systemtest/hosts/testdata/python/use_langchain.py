"""LangChain's MCP adapters: tools of a session, called as an agent's tool node calls them."""

import asyncio

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

import host


async def main():
    server = {"transport": "stdio", "command": host.BIN, "args": host.ARGS, "env": host.ENV}
    async with MultiServerMCPClient({"kubbi": server}).session("kubbi") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}

        async def names():
            return list(tools)

        async def call(tool, arguments):
            message = await tools[tool].ainvoke({"type": "tool_call", "id": "1", "name": tool, "args": arguments})
            blocks = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.content}]
            return host.text_of(blocks), message.status == "error"

        await host.answer(names, call)


asyncio.run(main())
