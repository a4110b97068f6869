"""FastMCP's client: a tool's error is an exception."""

import asyncio

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError

import host


async def main():
    transport = StdioTransport(command=host.BIN, args=host.ARGS, env=host.ENV, keep_alive=False)
    async with Client(transport) as client:

        async def names():
            return [tool.name for tool in await client.list_tools()]

        async def call(tool, arguments):
            try:
                result = await client.call_tool(tool, arguments)
            except ToolError as e:
                return str(e), True
            return host.text_of(result.content), False

        await host.answer(names, call)


asyncio.run(main())
