package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/tools/consent"
)

// TestFoldersRevoke revokes by folder, project and access, alone and together.
func TestFoldersRevoke(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		args []string
		code int
		left string // folder, access and project of each
	}{
		{[]string{at("logs")}, 0, "data read one"},
		{[]string{at("logs"), "--project", at("one")}, 0, "logs read two, data read one"},
		{[]string{at("logs"), "--for", "write"}, 0, "logs read one, logs read two, data read one"},
		{[]string{"--project", at("one")}, 0, "logs read two"},
		{[]string{"--all"}, 0, ""},
		{[]string{"--all", "--for", "read"}, 0, "logs write one"},
		{[]string{at("others")}, 1, "logs read one, logs write one, logs read two, data read one"},
		{[]string{at("logs"), "--all"}, 2, "logs read one, logs write one, logs read two, data read one"},
		{[]string{"--for", "read"}, 2, "logs read one, logs write one, logs read two, data read one"},
		{[]string{"--all", "--for", "everything"}, 2, "logs read one, logs write one, logs read two, data read one"},
	} {
		data := t.TempDir()
		store := consent.NewStore(data)
		for _, k := range []consent.Consent{
			{Folder: at("logs"), Access: consent.Read, Project: at("one")},
			{Folder: at("logs"), Access: consent.Write, Project: at("one")},
			{Folder: at("logs"), Access: consent.Read, Project: at("two")},
			{Folder: at("data"), Access: consent.Read, Project: at("one")},
		} {
			k.AllowedAt = time.Now()
			if err := store.Add(k); err != nil {
				t.Fatal(err)
			}
		}
		_, err := runIn(t, map[string]string{"KUBBI_DATA_DIR": data}, append([]string{"folders", "revoke"}, c.args...)...)
		all, listErr := store.List()
		var left []string
		for _, k := range all {
			left = append(left, filepath.Base(k.Folder)+" "+string(k.Access)+" "+filepath.Base(k.Project))
		}
		if got := strings.Join(left, ", "); ExitCode(err) != c.code || listErr != nil || got != c.left {
			t.Errorf("%q: %v, %v; left %q, want %q", c.args, err, listErr, got, c.left)
		}
	}
}
