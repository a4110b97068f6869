package testkit_test

import (
	"net"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// The address is free, and stays free while others listen without a port.
func TestFreeAddr(t *testing.T) {
	addr := testkit.MustFreeAddr(t)
	for range 500 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestRacePass(t *testing.T) {
	for pass, want := range map[string]bool{"": false, "plain": false, "race": true} {
		t.Setenv("KUBBI_PASS", pass)
		if got := testkit.RacePass(); got != want {
			t.Errorf("KUBBI_PASS=%s: %v, want %v", pass, got, want)
		}
	}
}
