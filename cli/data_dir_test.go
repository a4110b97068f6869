package cli

import (
	"errors"
	"os/user"
	"runtime"
	"testing"
)

func TestHomeInUserList(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("such a system has other paths, and needs no HOME")
	}
	for dir, want := range map[string]string{"/home/ann": "/home/ann", "/": "", "": "", "relative": ""} {
		if got := homeInUserList(func() (*user.User, error) { return &user.User{HomeDir: dir}, nil }); got != want {
			t.Errorf("%q: %q", dir, got)
		}
	}
	if got := homeInUserList(func() (*user.User, error) { return nil, errors.New("no such user") }); got != "" {
		t.Errorf("unknown user: %q", got)
	}
}
