package keep

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A key is of type "user" in the session keyring. Only processes that possess that keyring can
// see the key. A login makes the keyring (pam_keyinit), its processes inherit it, and the kernel
// drops it with the last of them.

const (
	keyType        = "user"
	possessorAlone = 0x3f000000 // all rights to possessors of the key, none to user, group and others
)

func description(id string) string { return "kubbi-mcp:keep:" + id }

// session gives the session keyring. It refuses the user's default keyring, which the kernel
// gives to a process without a session of its own: all processes of the user share it.
func session() (ring int, err error) {
	ring, err = unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err != nil {
		return 0, fmt.Errorf("this process can't use the kernel's keyrings (%w), as in most containers", err)
	}
	about, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, ring)
	if err != nil {
		return 0, fmt.Errorf("the session keyring can't be read: %w", err)
	}
	name := about[strings.LastIndex(about, ";")+1:]
	if strings.HasPrefix(name, "_uid_ses.") {
		return 0, errors.New("this process has no session keyring of its own, as in most containers: log in through PAM, or run it under keyctl session -")
	}
	return ring, nil
}

func checkSession() error {
	_, err := session()
	return err
}

func putKey(id string, key []byte, until time.Time) error {
	ring, err := session()
	if err != nil {
		return err
	}
	number, err := unix.AddKey(keyType, description(id), key, ring)
	if err != nil {
		return fmt.Errorf("add a key to the session keyring: %w", err)
	}
	if err = unix.KeyctlSetperm(number, possessorAlone); err == nil {
		seconds := max(1, int(time.Until(until).Seconds())+2) // the kernel counts whole seconds
		_, err = unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, number, seconds, 0, 0)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("protect a key in the session keyring: %w", err), deleteKey(id))
	}
	return nil
}

func find(id string) (number int, err error) {
	ring, err := session()
	if err != nil {
		return 0, ErrNone
	}
	number, err = unix.KeyctlSearch(ring, keyType, description(id), 0)
	if err != nil { // also if it has expired or was revoked
		return 0, ErrNone
	}
	return number, nil
}

func getKey(id string) ([]byte, error) {
	number, err := find(id)
	if err != nil {
		return nil, err
	}
	key := make([]byte, keySize)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, number, key, 0)
	runtime.KeepAlive(key)
	if err != nil || n != keySize {
		return nil, ErrNone
	}
	return key, nil
}

func deleteKey(id string) error {
	number, err := find(id)
	if err != nil {
		return nil
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_REVOKE, number, 0, 0, 0); err != nil {
		return fmt.Errorf("remove a key from the session keyring: %w", err)
	}
	ring, err := session()
	if err == nil {
		_, err = unix.KeyctlInt(unix.KEYCTL_UNLINK, number, ring, 0, 0)
	}
	if err != nil {
		return fmt.Errorf("remove a key from the session keyring: %w", err)
	}
	return nil
}
