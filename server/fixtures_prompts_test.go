package server_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

func (f *fixtures) addResources() {
	f.server.AddResource(
		mcp.NewResource("test://static-text", "static-text", mcp.WithResourceDescription("A text."), mcp.WithMIMEType("text/plain")),
		resource(mcp.TextResourceContents{
			URI: "test://static-text", MIMEType: "text/plain", Text: "This is the content of the static text resource.",
		}))
	f.server.AddResource(
		mcp.NewResource("test://static-binary", "static-binary", mcp.WithResourceDescription("An image."), mcp.WithMIMEType("image/png")),
		resource(mcp.BlobResourceContents{URI: "test://static-binary", MIMEType: "image/png", Blob: pixel}))
	f.server.AddResource(
		mcp.NewResource("test://watched-resource", "watched-resource", mcp.WithResourceDescription("To subscribe to."), mcp.WithMIMEType("text/plain")),
		resource(mcp.TextResourceContents{URI: "test://watched-resource", MIMEType: "text/plain", Text: "Watched."}))
	f.server.AddResource(
		mcp.NewResource("skill://waiting/SKILL.md", "waiting", mcp.WithResourceDescription("How to wait."), mcp.WithMIMEType("text/markdown")),
		resource(mcp.TextResourceContents{
			URI: "skill://waiting/SKILL.md", MIMEType: "text/markdown",
			Text: "---\nname: waiting\ndescription: How to wait.\n---\n\nDo nothing until it is over.\n",
		}))
	f.server.AddResourceTemplate(
		mcp.NewResourceTemplate("test://template/{id}/data", "template",
			mcp.WithTemplateDescription("Data for an id."), mcp.WithTemplateMIMEType("application/json")),
		func(_ context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			id := strings.TrimSuffix(strings.TrimPrefix(req.Params.URI, "test://template/"), "/data")
			return []mcp.ResourceContents{mcp.TextResourceContents{
				URI: req.Params.URI, MIMEType: "application/json",
				Text: fmt.Sprintf(`{"id":%q,"templateTest":true,"data":%q}`, id, "Data for ID: "+id),
			}}, nil
		})
}

// resource makes a handler that always returns the same contents.
func resource(c mcp.ResourceContents) mcpserver.ResourceHandlerFunc {
	return func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{c}, nil
	}
}

func (f *fixtures) addPrompts() {
	f.server.AddPrompt(mcp.NewPrompt("test_simple_prompt", mcp.WithPromptDescription("Takes no arguments.")),
		promptText("This is a simple prompt for testing."))
	f.server.AddPrompt(mcp.NewPrompt("test_prompt_with_arguments", mcp.WithPromptDescription("Takes two arguments."),
		mcp.WithArgument("arg1", mcp.ArgumentDescription("The first."), mcp.RequiredArgument()),
		mcp.WithArgument("arg2", mcp.ArgumentDescription("The second."), mcp.RequiredArgument())),
		func(ctx context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return promptText(fmt.Sprintf("Prompt with arguments: arg1='%s', arg2='%s'", req.Params.Arguments["arg1"], req.Params.Arguments["arg2"]))(ctx, req)
		})
	f.server.AddPrompt(mcp.NewPrompt("test_prompt_with_embedded_resource", mcp.WithPromptDescription("Holds a resource."),
		mcp.WithArgument("resourceUri", mcp.ArgumentDescription("Its URI."), mcp.RequiredArgument())),
		func(ctx context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return promptOf(
				mcp.NewEmbeddedResource(mcp.TextResourceContents{
					URI: req.Params.Arguments["resourceUri"], MIMEType: "text/plain", Text: "Embedded resource content for testing.",
				}),
				mcp.NewTextContent("Please process the embedded resource above."),
			)(ctx, req)
		})
	f.server.AddPrompt(mcp.NewPrompt("test_prompt_with_image", mcp.WithPromptDescription("Holds an image.")),
		promptOf(mcp.NewImageContent(pixel, "image/png"), mcp.NewTextContent("Please analyze the image above.")))
	f.server.AddPrompt(mcp.NewPrompt("test_input_required_result_prompt", mcp.WithPromptDescription("Asks the user first.")),
		func(ctx context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			answer := mcpserver.ElicitationResponse(req.Params.InputResponses, "user_context")
			if answer == nil {
				return mcpserver.NewInputRequestBuilder("").
					Elicit("user_context", askString("What context should the prompt use?", "context")).PromptResult(), nil
			}
			return promptText(fmt.Sprint("Use this context: ", answer.Content))(ctx, req)
		})
}

// promptText makes a prompt of one text.
func promptText(text string) mcpserver.PromptHandlerFunc { return promptOf(mcp.NewTextContent(text)) }

// promptOf makes a prompt with a message for each content.
func promptOf(contents ...mcp.Content) mcpserver.PromptHandlerFunc {
	return func(context.Context, mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		res := &mcp.GetPromptResult{}
		for _, c := range contents {
			res.Messages = append(res.Messages, mcp.PromptMessage{Role: mcp.RoleUser, Content: c})
		}
		return res, nil
	}
}
