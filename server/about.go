package server

import (
	"slices"
	"strings"
)

// About is what a server tells a host about itself.
type About struct {
	Name, Title, Description string
	Tools, Prompts           []Offer // sorted by name
}

// Offer is a tool or a prompt.
type Offer struct {
	Name        string `json:"name"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

// About gives the server's name, tools and prompts.
func (s *Server) About() About {
	a := About{Name: serverName, Title: serverTitle, Description: description}
	for _, t := range s.mcp.ListTools() {
		a.Tools = append(a.Tools, Offer{t.Tool.Name, t.Tool.Title, t.Tool.Description})
	}
	for _, p := range s.mcp.ListPrompts() {
		a.Prompts = append(a.Prompts, Offer{p.Prompt.Name, p.Prompt.Title, p.Prompt.Description})
	}
	for _, offers := range [][]Offer{a.Tools, a.Prompts} {
		slices.SortFunc(offers, func(a, b Offer) int { return strings.Compare(a.Name, b.Name) })
	}
	return a
}
