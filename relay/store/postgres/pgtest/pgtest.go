//go:build unix

// Package pgtest runs a PostgreSQL server for tests: a temporary cluster.
//
// It finds the server's programs in the folder KUBBI_POSTGRES, in Debian's folders or in
// PATH. If there are none, the test is skipped, or fails if KUBBI_CI is 1. The server
// refuses to run as root, so root runs it as the user postgres or nobody.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/internal/testkit"
)

const (
	superuser = "kubbi"
	patience  = time.Minute
)

// Cluster is a PostgreSQL server. The zero value starts at the first call of Database or
// Schema. TestMain must then call Stop.
type Cluster struct {
	// Settings are added to postgresql.conf, as "name = value". Without any, fsync is off:
	// nothing is lost if the server is killed, but the data may be lost in a power loss.
	Settings []string
	// Dir, if not "", is the folder for the data. It must be empty, and any user must be
	// able to write to it. "": a temporary folder.
	Dir string
	// LogDir, if not "", is such a folder for the write-ahead log.
	LogDir string

	once      sync.Once
	trouble   string // why the server can't run
	missing   bool   // no server is installed
	bin, dir  string
	logDir    string // empty: the log is in dir
	addr      string
	cred      *syscall.Credential
	mu        sync.Mutex // guards the fields below
	databases int        // and schemas, made so far
	server    *exec.Cmd
	gone      chan struct{} // closed when server has ended
}

// New starts a cluster that ends with the test.
func New(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c := &Cluster{Settings: settings}
	c.start(t)
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Database makes an empty data base and returns its URL. If no server is installed, it skips
// the test, or fails it if KUBBI_CI is 1.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	return c.url(c.create(t, "DATABASE"))
}

// Schema is Database for a test that can share its data base with others: it makes an
// empty schema, which takes a tenth of the time.
func (c *Cluster) Schema(t testing.TB) string {
	t.Helper()
	name := c.create(t, "SCHEMA") // this comes first: it starts the cluster, which then has an address
	return c.url("postgres") + "&search_path=" + name
}

// create makes a data base or a schema, and returns its name.
func (c *Cluster) create(t testing.TB, kind string) (name string) {
	t.Helper()
	c.start(t)
	c.mu.Lock()
	c.databases++
	name = fmt.Sprintf("test%d", c.databases)
	c.mu.Unlock()
	c.Exec(t, "CREATE "+kind+" "+name)
	return name
}

// Exec runs a statement as a superuser, in a data base that no test uses.
func (c *Cluster) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		t.Fatalf("postgres: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		t.Fatalf("postgres: %v", err)
	}
}

// Terminate ends all connections to data bases of tests.
func (c *Cluster) Terminate(t testing.TB) {
	t.Helper()
	c.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test%' AND pid <> pg_backend_pid()")
}

func (c *Cluster) url(database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", superuser, c.addr, database)
}

// Empty is Database for a program that is not a test. If no server is installed, it returns an
// error.
func (c *Cluster) Empty(ctx context.Context, name string) (url string, err error) {
	if c.once.Do(c.tryMake); c.trouble != "" {
		return "", errors.New(c.trouble)
	}
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return "", fmt.Errorf("postgres: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", fmt.Errorf("postgres: %w", err)
	}
	return c.url(name), nil
}

func (c *Cluster) tryMake() {
	if err := c.make(); err != nil {
		c.trouble = err.Error()
		_ = c.Stop()
	}
}

// start makes and starts the cluster once.
func (c *Cluster) start(t testing.TB) {
	t.Helper()
	c.once.Do(c.tryMake)
	switch {
	case c.trouble == "":
	case c.missing && os.Getenv("KUBBI_CI") != "1":
		t.Skip(c.trouble)
	default:
		t.Fatal(c.trouble)
	}
}

func (c *Cluster) make() (err error) {
	if c.bin, err = find(); err != nil {
		c.missing = true
		return err
	}
	if c.cred, err = unprivileged(); err != nil {
		return err
	}
	if c.dir, err = c.folder(c.Dir); err != nil {
		return err
	}
	data := filepath.Join(c.dir, "data")
	initdb := []string{"-D", data, "-U", superuser, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"}
	if c.LogDir != "" {
		if c.logDir, err = c.folder(c.LogDir); err != nil {
			return err
		}
		initdb = append(initdb, "--waldir="+filepath.Join(c.logDir, "wal"))
	}
	out, err := c.command("initdb", initdb...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %v\n%s", err, out)
	}
	settings := c.Settings
	if len(settings) == 0 {
		settings = []string{"fsync = off"}
	}
	settings = append(slices.Clone(settings), "listen_addresses = '127.0.0.1'", "unix_socket_directories = ''",
		"max_connections = 400", "shared_buffers = 64MB", "log_min_messages = fatal", "log_checkpoints = off")
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for _, s := range settings {
		fmt.Fprintln(f, s)
	}
	if err := f.Close(); err != nil {
		return err
	}
	if c.addr, err = testkit.FreeAddr(); err != nil {
		return err
	}
	return c.Up()
}

// folder makes a temporary folder in parent that the server owns.
func (c *Cluster) folder(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, "kubbi-postgres-")
	if err != nil {
		return "", err
	}
	if c.cred != nil {
		err = os.Chown(dir, int(c.cred.Uid), int(c.cred.Gid))
	}
	return dir, err
}

// Up starts the server after Down, and waits until it answers.
func (c *Cluster) Up() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var log bytes.Buffer
	_, port, err := net.SplitHostPort(c.addr)
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	cmd := c.command("postgres", "-D", filepath.Join(c.dir, "data"), "-p", port)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = cmd.Wait()
	}()
	c.server, c.gone = cmd, gone
	err = c.await(gone)
	if errors.Is(err, errEnded) {
		return fmt.Errorf("%w:\n%s", err, log.String())
	}
	return err
}

var errEnded = errors.New("postgres ended")

// await waits until the server answers. If the server ends, that is errEnded.
func (c *Cluster) await(gone <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-gone:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Ended returns a channel that is closed when the running server has ended.
func (c *Cluster) Ended() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// Revive starts a server that has ended by itself, for example after a crash from which it
// could not recover. If the server still runs, Revive waits until it answers.
func (c *Cluster) Revive() error {
	err := c.await(c.Ended())
	if errors.Is(err, errEnded) {
		return c.Up()
	}
	return err
}

// Down ends the server with a signal: SIGQUIT is like a crash, SIGINT is a normal shutdown.
func (c *Cluster) Down(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return nil
	}
	if err := c.server.Process.Signal(sig); err != nil {
		select {
		case <-c.gone: // by itself
		default:
			return fmt.Errorf("postgres: %w", err)
		}
	}
	select {
	case <-c.gone:
	case <-time.After(patience):
		_ = c.server.Process.Kill()
		<-c.gone
		return fmt.Errorf("postgres did not end")
	}
	c.server = nil
	return nil
}

// Stop ends the server and removes its files. It may be called twice, or without a start.
func (c *Cluster) Stop() error {
	err := c.Down(syscall.SIGQUIT)
	for _, dir := range []string{c.dir, c.logDir} {
		if dir != "" {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred, Setpgid: true} // so that Ctrl-C reaches only the test
	endWithParent(cmd.SysProcAttr)
	return cmd
}

// find returns the folder of the server's programs.
func find() (string, error) {
	if dir := os.Getenv("KUBBI_POSTGRES"); dir != "" {
		return dir, nil
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Reverse(dirs)
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no PostgreSQL server is installed (Debian: postgresql), nor does KUBBI_POSTGRES say where its programs are")
}

// unprivileged is the user that runs the server, nil for this user.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
		if uerr == nil && gerr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("postgres does not run as root, and there is no user postgres or nobody")
}
