"""The official Python SDK: the client that most Python hosts are built on."""

import asyncio

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

import host


async def main():
    server = StdioServerParameters(command=host.BIN, args=host.ARGS, env=host.ENV)
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()

        async def names():
            return [tool.name for tool in (await session.list_tools()).tools]

        async def call(tool, arguments):
            result = await session.call_tool(tool, arguments)
            # The second generation of the SDK has snake_case names.
            error = result.is_error if hasattr(result, "is_error") else result.isError
            return host.text_of(result.content), bool(error)

        await host.answer(names, call)


asyncio.run(main())
