// Package secrets tests that a secret which a person gives to an agent is nowhere but with
// the command that uses it.
package secrets
