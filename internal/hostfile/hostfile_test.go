package hostfile_test

import (
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"kubbi-mcp/internal/hostfile"
)

var update = flag.Bool("update", false, "write the golden files")

var server = hostfile.Server{
	Name: "kubbi", Command: `/opt/kubbi mcp/kubbi-mcp`, Args: []string{"serve", "--allow-dir", "/work"},
	Env: map[string]string{"KUBBI_API_KEY": "kb_key"},
}

// entry reads our entry.
func entry(h hostfile.Host, text []byte) (hostfile.Server, bool, error) {
	all, err := h.Servers(text)
	for _, s := range all {
		if s.Name == "kubbi" {
			return s, true, err
		}
	}
	return hostfile.Server{}, false, err
}

// TestGolden reads testdata/HOST.txtar: pairs of files, NAME/before and NAME/after.
func TestGolden(t *testing.T) {
	for _, h := range hostfile.Hosts {
		t.Run(h.Name, func(t *testing.T) {
			path := filepath.Join("testdata", h.Name+".txtar")
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := txtar.Archive{Comment: a.Comment}
			for _, f := range a.Files {
				name, kind, _ := strings.Cut(f.Name, "/")
				if kind != "before" {
					continue
				}
				after, err := h.Set(f.Data, server)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				again, err := h.Set(after, server)
				if err != nil || !bytes.Equal(again, after) {
					t.Errorf("%s: a second time changes it to %s, %v", name, again, err)
				}
				s, ok, err := entry(h, after)
				if err != nil || !ok || s.Command != server.Command || strings.Join(s.Args, " ") != strings.Join(server.Args, " ") {
					t.Errorf("%s: the entry is %+v, %v, %v", name, s, ok, err)
				}
				removed, err := h.Remove(after, "kubbi")
				if err != nil {
					t.Fatalf("%s: remove: %v", name, err)
				}
				if _, ok, err := entry(h, removed); ok || err != nil {
					t.Errorf("%s: after remove: %v, %v", name, ok, err)
				}
				got.Files = append(got.Files, f, txtar.File{Name: name + "/after", Data: after}, txtar.File{Name: name + "/removed", Data: removed})
			}
			if *update {
				if err := os.WriteFile(path, txtar.Format(&got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want, now := txtar.Format(a), txtar.Format(&got); !bytes.Equal(want, now) {
				t.Errorf("%s differs (write it with -update): got\n%s", path, now)
			}
		})
	}
}

// TestPaths checks where each host's file is on each platform.
func TestPaths(t *testing.T) {
	var b strings.Builder
	for _, h := range hostfile.Hosts {
		for _, m := range []hostfile.Machine{
			{OS: "linux", Home: "/home/ann"}, {OS: "darwin", Home: "/Users/ann"}, {OS: "windows", Home: `C:\Users\ann`},
			{OS: "linux", Home: "/home/ann", Getenv: func(name string) string { return "/set/" + name }},
			{OS: "windows", Home: `C:\Users\ann`, Getenv: func(name string) string { return `D:\set\` + name }},
		} {
			if m.Getenv == nil {
				m.Getenv = func(string) string { return "" }
			}
			path, err := h.Path(m)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%-14s %-7s %s\n", h.Name, m.OS, path)
		}
	}
	golden := filepath.Join("testdata", "paths.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || string(want) != b.String() {
		t.Errorf("paths differ from %s (%v): got\n%s", golden, err, b.String())
	}
}

// TestRefused checks that a file which can't be changed safely is refused.
func TestRefused(t *testing.T) {
	for name, text := range map[string]string{
		"cursor": `{"mcpServers": [1]}`, "vscode": `{"servers": {"kubbi": {}, "kubbi": {}}}`, "zed": `{"context_servers": `,
		"claude-desktop": `[]`, "gemini": `{"mcpServers": {"kubbi": "x"}}`, "windsurf": `{"mcpServers": null}`,
		"codex": "mcp_servers = { kubbi = { command = \"x\" } }\n", "jetbrains": "\x00",
	} {
		h, err := hostfile.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if after, err := h.Set([]byte(text), server); err == nil || strings.Contains(err.Error(), "kb_key") {
			t.Errorf("%s: %s becomes %s, %v", name, text, after, err)
		}
	}
	if _, err := hostfile.Find("emacs"); err == nil || !strings.Contains(err.Error(), "claude-code, ") {
		t.Errorf("an unknown host: %v", err)
	}
}

// TestTOMLStrings reads back strings that TOML writes in different ways.
func TestTOMLStrings(t *testing.T) {
	h, err := hostfile.Find("codex")
	if err != nil {
		t.Fatal(err)
	}
	s := hostfile.Server{Name: "a'b c", Command: `C:\Users\ann\kubbi-mcp.exe`, Args: []string{
		"", "it's", `"`, `'\'`, "a\tb\nc\r", "\x00\x1b\x7f'", "\x7f", "über 🙂 <&>", "'\u2028", `\u0041`, "'''",
	}}
	text, err := h.Set(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Servers(text)
	if err != nil || len(got) != 1 || got[0].Name != s.Name || got[0].Command != s.Command || !slices.Equal(got[0].Args, s.Args) {
		t.Errorf("%s\nreads as %q, %v", text, got, err)
	}
	if !bytes.Contains(text, []byte(`'C:\Users\ann\kubbi-mcp.exe'`)) {
		t.Errorf("a path of Windows is hard to read:\n%s", text)
	}
}

// FuzzSet: a text is refused, or changed in nothing but the entry.
func FuzzSet(f *testing.F) {
	f.Add([]byte("{// a\n\"mcpServers\": {\"kubbi\": {\"command\": \"x\", /* b */},},}"), true)
	f.Add([]byte("[mcp_servers.kubbi]\nargs = [\n 'x', # y\n]\n[[a]]\nb = '''\n[c]\n'''\n"), false)
	json, _ := hostfile.Find("cursor")
	toml, _ := hostfile.Find("codex")
	f.Fuzz(func(t *testing.T, text []byte, isJSON bool) {
		h := toml
		if isJSON {
			h = json
		}
		after, err := h.Set(text, server)
		if err != nil {
			return
		}
		s, ok, err := entry(h, after)
		if err != nil || !ok || s.Command != server.Command {
			t.Errorf("%q became %q: %+v, %v, %v", text, after, s, ok, err)
		}
		again, err := h.Set(after, server)
		if err != nil || !bytes.Equal(again, after) {
			t.Errorf("%q became %q, then %q, %v", text, after, again, err)
		}
		if removed, err := h.Remove(after, "kubbi"); err == nil {
			if _, ok, err := entry(h, removed); ok || err != nil {
				t.Errorf("%q, removed: %q, %v, %v", after, removed, ok, err)
			}
		}
	})
}

// TestWrite checks the backup, the mode, a symbolic link, and a file that has changed.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	path := filepath.Join(dir, "new", "mcp.json")
	if backup, err := hostfile.Write(path, nil, []byte("{}"), now); err != nil || backup != "" {
		t.Fatalf("a new file: %q, %v", backup, err)
	}
	target := filepath.Join(dir, "target.json")
	if err := os.WriteFile(target, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.json")
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err) // Windows allows links to some users only
	}
	backup, err := hostfile.Write(link, []byte("old"), []byte("new"), now)
	if err != nil || backup != target+".20261129-120000.bak" {
		t.Fatalf("a link: %q, %v", backup, err)
	}
	for path, want := range map[string]string{link: "new", target: "new", backup: "old"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	if _, err := hostfile.Write(link, []byte("old"), []byte("newer"), now); err == nil || !strings.Contains(err.Error(), "changed in the meantime") {
		t.Errorf("a file that has changed: %v", err)
	}
}

// TestDifference checks what a person sees of a change.
func TestDifference(t *testing.T) {
	h, _ := hostfile.Find("cursor")
	before := []byte("{\n  \"mcpServers\": {\n    \"other\": {\"env\": {\"API_TOKEN\": \"s3\\\"cret\", \"A\": \"b\"}}\n  }\n}\n")
	after, err := h.Set(before, server)
	if err != nil {
		t.Fatal(err)
	}
	const want = ` {
   "mcpServers": {
-    "other": {"env": {"API_TOKEN": [hidden], "A": "b"}}
+    "other": {"env": {"API_TOKEN": [hidden], "A": "b"}},
+    "kubbi": {
+      "command": "/opt/kubbi mcp/kubbi-mcp",
+      "args": ["serve", "--allow-dir", "/work"],
+      "env": {
+        "KUBBI_API_KEY": [hidden]
+      }
+    }
   }
 }
`
	if got := hostfile.Difference(before, after); got != want {
		t.Errorf("got\n%s", got)
	}
}

// TestLink checks the links by what a host reads from them.
func TestLink(t *testing.T) {
	for name, read := range map[string]func(*url.URL) string{
		"cursor": func(u *url.URL) string {
			b, err := base64.StdEncoding.DecodeString(u.Query().Get("config"))
			if err != nil {
				t.Error(err)
			}
			return u.Host + u.Path + " " + u.Query().Get("name") + " " + string(b)
		},
		"vscode": func(u *url.URL) string {
			text, err := url.PathUnescape(u.RawQuery)
			if err != nil {
				t.Error(err)
			}
			return u.Opaque + " " + text
		},
		"zed": nil,
	} {
		h, _ := hostfile.Find(name)
		link, err := h.Link(server)
		if err != nil {
			t.Fatal(err)
		}
		if read == nil {
			if link != "" {
				t.Errorf("%s: %s", name, link)
			}
			continue
		}
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		const entry = `"args":["serve","--allow-dir","/work"],"command":"/opt/kubbi mcp/kubbi-mcp","env":{"KUBBI_API_KEY":"kb_key"}`
		want := map[string]string{
			"cursor": "anysphere.cursor-deeplink/mcp/install kubbi {" + entry + "}",
			"vscode": "mcp/install {" + entry + `,"name":"kubbi"}`,
		}[name]
		if got := read(u); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
