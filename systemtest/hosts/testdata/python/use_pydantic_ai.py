"""Pydantic AI: an agent with a scripted model, so that the text is the one a model gets."""

import asyncio
import base64

from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelResponse, RetryPromptPart, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel

import host


async def main():
    transport = StdioTransport(command=host.BIN, args=host.ARGS, env=host.ENV, keep_alive=False)
    todo, seen, offered = [], [], []

    def model(messages, info):
        offered[:] = [tool.name for tool in info.function_tools]
        for part in messages[-1].parts:
            if isinstance(part, ToolReturnPart):
                # Its pictures go to the model beside the text.
                files = [base64.b64encode(file.data).decode() for file in part.files]
                seen.append(("\n".join([part.model_response_str(), *files]), part.outcome != "success"))
            elif isinstance(part, RetryPromptPart):
                seen.append((part.model_response(), True))
        if seen or not todo:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart(*todo.pop())])

    async with Agent(FunctionModel(model), toolsets=[MCPToolset(transport)]) as agent:

        async def names():
            await agent.run("which tools?")
            return offered

        async def call(tool, arguments):
            seen.clear()
            todo[:] = [(tool, arguments)]
            await agent.run("go")
            return seen[0]

        await host.answer(names, call)


asyncio.run(main())
