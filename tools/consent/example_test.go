package consent_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"kubbi-mcp/tools/consent"
)

func ExampleStore() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store := consent.NewStore(dir)
	logs, project := filepath.Join(dir, "logs"), filepath.Join(dir, "project")
	if err := store.Add(consent.Consent{Folder: logs, Access: consent.Read, Project: project, AllowedAt: time.Now()}); err != nil {
		log.Fatal(err)
	}
	for _, access := range []consent.Access{consent.Read, consent.Write} {
		allowed, err := store.Allows(filepath.Join(logs, "today"), access, project)
		fmt.Println(access, allowed, err)
	}
	// Output:
	// read true <nil>
	// write false <nil>
}
