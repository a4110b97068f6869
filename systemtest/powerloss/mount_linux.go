package powerloss

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// ErrUnsupported is Mount's answer where /dev/fuse cannot be used.
var ErrUnsupported = errors.New("no FUSE file system can be mounted here")

// Mounted is a disk that programs can use.
type Mounted struct {
	dir   string
	ended chan struct{} // closed when the kernel asks no more
}

// maxWrite is the largest write in one piece, in bytes.
const maxWrite = 1 << 20

// Mount mounts a disk on an empty directory. It needs no helper program. Use the
// mount from other processes: this one serves it, and could wait for itself.
func Mount(d *Disk, dir string) (*Mounted, error) {
	// go-fuse's own mount would leave the device open in every child process.
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: open /dev/fuse: %w", ErrUnsupported, err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,default_permissions,max_read=%d", fd, os.Geteuid(), os.Getegid(), maxWrite)
	if err := unix.Mount("powerloss", dir, "fuse.powerloss", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: mount: %w", ErrUnsupported, err), unix.Close(fd))
	}
	s, err := fuse.NewServer(server{fuse.NewDefaultRawFileSystem(), d}, fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{
		MaxWrite:                 maxWrite,
		DisableXAttrs:            true,
		DisableReadDirPlus:       true,
		ExplicitDataCacheControl: true, // nobody but the kernel changes anything
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mount: %w", err), unix.Unmount(dir, unix.MNT_DETACH))
	}
	m := &Mounted{dir: dir, ended: make(chan struct{})}
	go func() {
		defer close(m.ended)
		s.Serve()
	}()
	return m, nil
}

// Unmount ends the mount. Programs that use it must have ended; it waits a
// little for those that are about to.
func (m *Mounted) Unmount(ctx context.Context) error {
	for {
		err := unix.Unmount(m.dir, 0)
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("unmount %s: %w", m.dir, err), unix.Unmount(m.dir, unix.MNT_DETACH))
		case <-time.After(2 * time.Millisecond):
		}
	}
	select {
	case <-m.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
