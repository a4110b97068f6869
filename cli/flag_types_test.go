package cli

import (
	"strings"
	"testing"
)

func TestByteSize(t *testing.T) {
	for in, want := range map[string]byteSize{"0": 0, "1048576": 1 << 20, " 1MiB ": 1 << 20, "3KiB": 3 << 10, "2GiB": 2 << 30} {
		var b byteSize
		if err := b.UnmarshalText([]byte(in)); err != nil || b != want {
			t.Errorf("%q: got %d, %v", in, b, err)
		}
	}
	for _, in := range []string{"", "x", "1MB", "-1", "1.5MiB", "MiB", "9999999999999GiB", "99999999999999999999"} {
		var b byteSize
		if err := b.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is %d", in, b)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []Config{{MaxContent: 0, MaxPackage: 1}, {MaxContent: 1, MaxPackage: maxSize + 1}} {
		if err := c.validateLimits(); err == nil || !strings.Contains(err.Error(), "--max-") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	l := (&Config{MaxContent: 7, MaxPackage: 1 << 20}).limits()
	if l.ContentBytes != 7 || l.PackageBytes != 1<<20 || l.Files == 0 {
		t.Errorf("limits %+v", l)
	}
	if got := answerLimit(l); got < 2<<20 {
		t.Errorf("an answer may have %d bytes", got)
	}
}
