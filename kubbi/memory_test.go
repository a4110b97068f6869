package kubbi_test

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

// TestLargeMemory sends and claims a file of 64 MiB, open and sealed, with client and
// relay in one process, which never holds as much of it. That process is a child, since
// what this one has held before would hide it. KUBBI_TEST_MIB is another size in MiB.
func TestLargeMemory(t *testing.T) {
	testkit.OnlyPlain(t, "memory is measured, and the race detector takes its own")
	const child = "KUBBI_TEST_LARGE"
	if os.Getenv(child) != "" {
		large(t)
		return
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("memory is read from /proc, which is not here")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLargeMemory$", "-test.v")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found := false
	for line := range strings.Lines(string(out)) {
		var idle, peak, garbage int64
		if n, _ := fmt.Sscanf(strings.TrimSpace(line), "peak memory %d kB, then %d kB, %d kB allocated", &idle, &peak, &garbage); n == 3 {
			found = true
			t.Logf("%d kB above idle, %d kB allocated", peak-idle, garbage)
			if garbage > 16<<10 {
				t.Errorf("64 MiB made %d kB of garbage", garbage)
			}
			if peak-idle > 32<<10 {
				t.Errorf("64 MiB took %d kB of memory", peak-idle)
			}
		}
	}
	if !found {
		t.Errorf("the child said nothing:\n%s", out)
	}
}

// large is the child.
func large(t *testing.T) {
	size := int64(64 << 20)
	if text := os.Getenv("KUBBI_TEST_MIB"); text != "" {
		n, err := strconv.ParseInt(text, 10, 40)
		if err != nil {
			t.Fatal(err)
		}
		size = n << 20
	}
	l := api.DefaultLimits()
	l.PackageBytes = 2 * size
	relay := relaytest.New(t, relaytest.WithLimits(l))
	c, err := kubbi.NewClient("", kubbi.WithBaseURL(relay.URL), kubbi.WithFileLimit(max(kubbi.DefaultFileLimit, 2*size)), kubbi.WithMiddleware(func(next http.RoundTripper) http.RoundTripper { return relay.Local.RoundTripper(next) }))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	name := filepath.Join(t.TempDir(), "file")
	sum := makeFile(t, name, size)
	exchange(t, c, name, "", 1000, false)
	exchange(t, c, name, "", 1000, true)
	idle := peak(t)
	for i, encoding := range []string{api.EncodingBase64, "", "", api.EncodingBase64} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if got := exchange(t, c, name, encoding, size, i >= 2); got != sum {
			t.Error("another file was claimed")
		}
		runtime.ReadMemStats(&after)
		fmt.Printf("\npeak memory %d kB, then %d kB, %d kB allocated\n", idle, peak(t), (after.TotalAlloc-before.TotalAlloc)>>10)
	}
}

// makeFile writes a text with something to escape in it.
func makeFile(t *testing.T, name string, size int64) (sum [32]byte) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	buffered := bufio.NewWriterSize(f, 64<<10)
	w := io.MultiWriter(buffered, h)
	var line [64]byte
	for n := int64(0); n < size; n += int64(len(line)) {
		b := append(strconv.AppendInt(line[:0], n, 10), ": a \"line\" of a build log"...)
		for len(b) < len(line)-1 {
			b = append(b, '.')
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			t.Fatal(err)
		}
	}
	if err := buffered.Flush(); err != nil {
		t.Fatal(err)
	}
	h.Sum(sum[:0])
	return sum
}

// exchange sends the beginning of a file, sealed if so, claims it, and gives its sum.
func exchange(t *testing.T, c *kubbi.Client, name, encoding string, size int64, sealed bool) (sum [32]byte) {
	t.Helper()
	src := kubbi.Source{Name: "a", ContentType: "a/b", Encoding: encoding, Size: size, Open: func() (io.ReadCloser, error) {
		f, err := os.Open(name)
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(f, size), f}, err
	}}
	sent, err := c.SendFiles(t.Context(), kubbi.SendFilesParams{Sources: []kubbi.Source{src}, MaxRetrievals: 1, Sealed: sealed})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Claim(t.Context(), sent.ClaimURL, toFile(payloadFile(t)), kubbi.HoldGrace())
	if err != nil {
		t.Fatal(err)
	}
	r, err := got.Parts[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if n, err := io.Copy(h, r); n != size || err != nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	if err := got.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.Sum(sum[:0])
	return sum
}

// peak is the most memory that this process ever held, in kB.
func peak(t *testing.T) (kB int64) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	if n, _ := fmt.Sscan(rest, &kB); n != 1 {
		t.Fatal("no VmHWM in /proc/self/status")
	}
	return kB
}
