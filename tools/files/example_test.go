package files_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"kubbi-mcp/tools/files"
)

// Example reads a file in an allowed folder, is refused one outside it, and writes two files,
// of which both or none appear.
func Example() {
	top, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(top)
	work := filepath.Join(top, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		log.Fatal(err)
	}
	for name, text := range map[string]string{"work/notes.txt": "hello", "outside.txt": "secret"} {
		if err := os.WriteFile(filepath.Join(top, filepath.FromSlash(name)), []byte(text), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	allowed, err := files.NewFolder(work)
	if err != nil {
		log.Fatal(err)
	}
	rules := files.Rules{Folders: []files.Folder{allowed}}

	found, err := rules.Expand("*.txt", 20)
	if err != nil {
		log.Fatal(err)
	}
	f, err := rules.OpenFound(found.Files[0])
	if err != nil {
		log.Fatal(err)
	}
	text, err := io.ReadAll(f)
	f.Close()
	fmt.Println(string(text), err)

	_, err = rules.Expand("../outside.txt", 20)
	fmt.Println(strings.Contains(err.Error(), "outside the allowed folders"))

	batch, err := rules.NewBatch("received", false)
	if err != nil {
		log.Fatal(err)
	}
	defer batch.Close()
	for _, name := range []string{"a.txt", "b.txt"} {
		if err := batch.Stage(context.Background(), name, strings.NewReader("in "+name)); err != nil {
			log.Fatal(err)
		}
	}
	saved, err := batch.Commit()
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range saved {
		fmt.Println(s.Name, s.Size)
	}
	// Output:
	// hello <nil>
	// true
	// a.txt 8
	// b.txt 8
}
