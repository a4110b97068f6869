package browser

import (
	"bytes"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// TestPageDrawsQRCodes draws QR codes of every version that the front page uses, at the limits
// of each, and reads them with another's program.
func TestPageDrawsQRCodes(t *testing.T) {
	testkit.Needs(t, "KUBBI_PAGE", "the node_modules folder with jsqr")
	// The most bytes of each version with level M, from ISO/IEC 18004.
	most := []int{14, 26, 42, 62, 84, 106, 122, 152, 180, 213, 251, 287, 331, 362, 412, 450, 504, 560, 624, 666}
	var cases [][]byte
	var sides []int
	add := func(size, side int) {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(33 + (i*i*7+size)%90)
		}
		cases, sides = append(cases, data), append(sides, side)
	}
	for i, size := range most {
		side := 21 + 4*i
		add(size, side)
		add(size+1, (side+4)*min(1, len(most)-1-i)) // the next version, 0: none
	}
	add(0, 21)
	type drawn struct {
		Side int
		Read []byte
	}
	for i, got := range runScripts[drawn](t, "qr.mjs", cases, "wire", "qr") {
		if got.Side != sides[i] || got.Side > 0 && !bytes.Equal(got.Read, cases[i]) {
			t.Errorf("%d bytes: a code of %d modules, want %d; %d bytes were read", len(cases[i]), got.Side, sides[i], len(got.Read))
		}
	}
}
