package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// noHome stands in manifests for an address as long as the module has no public home:
// nobody can ever have a name below .invalid.
const noHome = "https://no-home.invalid/kubbi-mcp"

// homepage is the module's page: its path, if that begins with a host's name.
func (r *release) homepage() string {
	if host, _, ok := strings.Cut(r.about.Module, "/"); ok && strings.Contains(host, ".") {
		return "https://" + r.about.Module
	}
	return noHome
}

// nameHome fills in the addresses that were not given.
func (r *release) nameHome() error {
	if r.downloads == "" {
		r.downloads = r.homepage() + "/releases/download/" + r.tag
	}
	r.downloads = strings.TrimSuffix(r.downloads, "/")
	if u, err := url.Parse(r.downloads); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("-downloads %q is no https URL", r.downloads)
	}
	if r.imageName == "" {
		r.imageName = imageName(r.about.Module)
	}
	return nil
}

// serverName is the server's name in the MCP registry: the module's host in reverse, with
// its owner, as io.github.owner/kubbi-mcp.
func (r *release) serverName() string {
	parts := strings.Split(r.about.Module, "/")
	if !strings.Contains(parts[0], ".") {
		return "invalid.no-home/" + r.about.Name
	}
	host := strings.Split(parts[0], ".")
	slices.Reverse(host)
	if host[0] == "com" && len(parts) > 2 { // code hosts give their users pages at .io
		host[0] = "io"
	}
	return strings.ToLower(strings.Join(append(host, parts[1:max(1, len(parts)-1)]...), ".")) + "/" + r.about.Name
}

// imageName is the image's name without a registry: the module's path without its host.
func imageName(module string) string {
	if host, rest, ok := strings.Cut(module, "/"); ok && strings.Contains(host, ".") {
		module = rest
	}
	return strings.ToLower(module)
}
