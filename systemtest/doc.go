// Package systemtest has no code, only tests of the whole program in the hands
// of others: the agent frameworks and hosts that will use it, unmodified.
package systemtest
