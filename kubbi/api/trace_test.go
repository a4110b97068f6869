package api

import (
	"strings"
	"testing"
)

func TestParseTraceparent(t *testing.T) {
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
		tp, ok := ParseTraceparent(s)
		if ok != (want != "") || ok && tp.String() != want {
			t.Errorf("%.80q: got %v, %v; want %q", s, tp, ok, want)
		}
	}
}
