"""smolagents: its default adapter hands on the first content block and nothing else."""

import asyncio
import os

from mcp import StdioServerParameters
from smolagents import MCPClient

import host


async def main():
    server = StdioServerParameters(command=host.BIN, args=host.ARGS, env=host.ENV)
    structured = os.environ.get("KUBBI_STRUCTURED") == "1"
    with MCPClient(server, structured_output=structured) as listed:
        tools = {tool.name: tool for tool in listed}

        async def names():
            return list(tools)

        async def call(tool, arguments):
            # As CodeAgent's interpreter calls it, and it prints the value.
            return str(tools[tool](**arguments)), None

        await host.answer(names, call)


asyncio.run(main())
