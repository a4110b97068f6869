package keep

import (
	"errors"
	"fmt"
	"time"

	"github.com/danieljoos/wincred"
)

// A key is a credential of the logon session: other logon sessions of the user don't see it,
// and it is gone when the user logs off. Such a credential does not expire: the file's
// time counts.

func target(id string) string { return "kubbi-mcp:keep:" + id }

func checkSession() error { return nil }

func putKey(id string, key []byte, _ time.Time) error {
	c := wincred.NewGenericCredential(target(id))
	c.CredentialBlob, c.Persist = key, wincred.PersistSession
	if err := c.Write(); err != nil {
		return fmt.Errorf("add a credential to the logon session: %w", err)
	}
	return nil
}

func getKey(id string) ([]byte, error) {
	c, err := wincred.GetGenericCredential(target(id))
	if err != nil || len(c.CredentialBlob) != keySize {
		return nil, ErrNone
	}
	return c.CredentialBlob, nil
}

func deleteKey(id string) error {
	c, err := wincred.GetGenericCredential(target(id))
	if err == nil {
		err = c.Delete()
	}
	if err != nil && !errors.Is(err, wincred.ErrElementNotFound) {
		return fmt.Errorf("remove a credential from the logon session: %w", err)
	}
	return nil
}
