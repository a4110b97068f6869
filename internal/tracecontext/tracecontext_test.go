package tracecontext

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseParent(t *testing.T) {
	const (
		id     = "4bf92f3577b34da6a3ce929d0e0e4736"
		parent = "00f067aa0ba902b7"
		plain  = "00-" + id + "-" + parent + "-01"
	)
	for s, want := range map[string]string{ // "": not valid
		plain:                                              plain,
		"00-" + id + "-" + parent + "-00":                  "00-" + id + "-" + parent + "-00",
		"00-" + id + "-" + parent + "-ff":                  "00-" + id + "-" + parent + "-ff",
		"cc-" + id + "-" + parent + "-01":                  plain,
		"01-" + id + "-" + parent + "-ff":                  plain,
		"fe-" + id + "-" + parent + "-03-what-comes-later": plain,
		"fe-" + id + "-" + parent + "-02-":                 "00-" + id + "-" + parent + "-00",
		"":                                                 "",
		plain + "-":                                        "",
		plain + "-x":                                       "",
		plain + " ":                                        "",
		" " + plain:                                        "",
		plain[:54]:                                         "",
		"ff-" + id + "-" + parent + "-01":                  "",
		"ff-" + id + "-" + parent + "-01-x":                "",
		"0-" + id + "-" + parent + "-011":                  "",
		"0G-" + id + "-" + parent + "-01":                  "",
		"0A-" + id + "-" + parent + "-01":                  "",
		"00-" + strings.ToUpper(id) + "-" + parent + "-01":            "",
		"00-" + id + "-" + strings.ToUpper(parent) + "-01":            "",
		"00-" + id + "-" + parent + "-0A":                             "",
		"00-" + strings.Repeat("0", 32) + "-" + parent + "-01":        "",
		"00-" + id + "-" + strings.Repeat("0", 16) + "-01":            "",
		"00-" + id[1:] + "g-" + parent + "-01":                        "",
		"00_" + id + "-" + parent + "-01":                             "",
		"00-" + id + "_" + parent + "-01":                             "",
		"00-" + id + "-" + parent + "_01":                             "",
		"00-" + id + "-" + parent + "-\r\n":                           "",
		"cc-" + id + "-" + parent + "-01x":                            "",
		"cc-" + id + "-" + parent + "-01-" + strings.Repeat("x", 512): "",
		plain + "," + plain:                                           "",
	} {
		p, ok := ParseParent(s)
		if ok != (want != "") || ok && p.String() != want {
			t.Errorf("%.80q: got %v, %v; want %q", s, p, ok, want)
		}
	}
}

func TestValidState(t *testing.T) {
	members := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("k%d=v", i))
		}
		return strings.Join(all, ",")
	}
	for s, want := range map[string]bool{
		"rojo=00f067aa0ba902b7":                true,
		"rojo=1,congo=t61rcWkgMzE":             true,
		" rojo=1 ,\tcongo=2, ":                 true,
		"a=1,,b=2":                             true,
		"0tenant@system=1":                     true,
		"a_-*/=!\"#$%&'()*+-./:;<>?@[]^_`{|}~": true,
		"a=with space inside":                  true,
		members(32):                            true,
		"a=" + strings.Repeat("v", 256):        true,
		strings.Repeat("k", 256) + "=v":        true,
		members(33):                            false,
		"a=" + strings.Repeat("v", 257):        false,
		strings.Repeat("k", 257) + "=v":        false,
		"a=" + strings.Repeat("v", 255) + ",b=" + strings.Repeat("v", 255): false, // 514 bytes
		"":                    false,
		" , ":                 false,
		"a":                   false,
		"a=":                  false,
		"=1":                  false,
		"A=1":                 false,
		"_a=1":                false,
		"a b=1":               false,
		"a=1=2":               false,
		"a=1,a=2":             false,
		"a=\x01":              false,
		"a=1\r\nX-Other: 1":   false,
		"a=ü":                 false,
		"a@=1":                false,
		"@a=1":                false,
		"a@b@c=1":             false,
		"a@abcdefghijklmno=1": false,
	} {
		if got := ValidState(s); got != want {
			t.Errorf("%.80q: got %v", s, got)
		}
	}
}
