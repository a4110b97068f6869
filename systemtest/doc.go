// Package systemtest has no code. Its folders test the whole program, most of them
// together with programs of others:
//
//   - browser: the claim page in Chromium, with Playwright
//   - cluster: several relays over one store, while they are killed
//   - deploy: the container image and the self-hosting guide, under systemd
//   - hosts: agent frameworks, and hosts such as Claude Code, unmodified
//   - install: the artifacts of a release, each in a clean place
//   - http: the MCP server over HTTP and SSE: callers, attacks, load
//   - outside: other people's clients and the MCP conformance suite
//   - powerloss: the store when the machine loses power
//   - stdio: the MCP server over stdio: files, names, consent, hosts that die
//   - wine: the Windows program
//   - bench: the benchmark, a program
//
// A test that lacks its outside program is skipped, and fails where KUBBI_CI is 1. A
// test that takes long runs only where KUBBI_CI is 1.
package systemtest
