package powerloss

import (
	"maps"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// server answers the kernel's questions about a disk. Locks (flock, fcntl) and
// shared memory stay in the kernel, which sees all programs of the mount.
type server struct {
	fuse.RawFileSystem // refuses what is not here
	*Disk
}

// valid is how long the kernel may trust what it knows: nobody else changes it.
const valid = 3600 // seconds

func (s server) String() string { return "powerloss" }

// at gives the node with that id, which the kernel holds.
func (s server) at(id uint64) *node { return s.nodes[id] }

// child gives the directory and what it has under that name.
func (s server) child(id uint64, name string) (dir, child *node, status fuse.Status) {
	dir = s.at(id)
	if dir == nil {
		return nil, nil, fuse.Status(syscall.ESTALE)
	}
	if dir.kind != folder {
		return nil, nil, fuse.ENOTDIR
	}
	return dir, dir.names[name], fuse.OK
}

func (n *node) attr(out *fuse.Attr) {
	out.Ino, out.Size, out.Nlink, out.Blksize = n.id, uint64(n.now.size), uint32(n.links), pageSize
	out.Mode = n.mode | map[kind]uint32{file: syscall.S_IFREG, folder: syscall.S_IFDIR, symlink: syscall.S_IFLNK}[n.kind]
	out.Uid, out.Gid = n.uid, n.gid
	out.SetTimes(&n.modified, &n.modified, &n.modified)
	out.Blocks = uint64(len(n.now.pages)) * (pageSize / sectorSize)
	if n.kind == symlink {
		out.Size = uint64(len(n.target))
	}
}

// entry hands a node to the kernel, which holds it from now on.
func entry(n *node, out *fuse.EntryOut) {
	n.lookups++
	out.NodeId, out.Generation, out.EntryValid, out.AttrValid = n.id, 1, valid, valid
	n.attr(&out.Attr)
}

func (s server) Lookup(_ <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, child, status := s.child(header.NodeId, name)
	if status == fuse.OK && child == nil {
		status = fuse.ENOENT
	}
	if status == fuse.OK {
		entry(child, out)
	}
	return status
}

func (s server) Forget(id, lookups uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.at(id); n != nil {
		n.lookups -= min(lookups, n.lookups)
		s.forget(n)
	}
}

func (s server) GetAttr(_ <-chan struct{}, input *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.at(input.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	out.AttrValid = valid
	n.attr(&out.Attr)
	return fuse.OK
}

func (s server) SetAttr(_ <-chan struct{}, input *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.at(input.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	if size, ok := input.GetSize(); ok {
		if n.kind != file {
			return fuse.EINVAL
		}
		if int64(size) != n.now.size {
			s.change(n, n.now.resize(int64(size)))
		}
	}
	if mode, ok := input.GetMode(); ok {
		n.mode = mode
	}
	if uid, ok := input.GetUID(); ok {
		n.uid = uid
	}
	if gid, ok := input.GetGID(); ok {
		n.gid = gid
	}
	if t, ok := input.GetMTime(); ok {
		n.modified = t
	}
	out.AttrValid = valid
	n.attr(&out.Attr)
	return fuse.OK
}

// make makes a node with a name.
func (s server) make(header *fuse.InHeader, key string, k kind, mode uint32, out *fuse.EntryOut) (*node, fuse.Status) {
	dir, old, status := s.child(header.NodeId, key)
	if status != fuse.OK {
		return nil, status
	}
	if old != nil {
		return nil, fuse.Status(syscall.EEXIST)
	}
	n := s.add(k, mode)
	n.uid, n.gid = header.Uid, header.Gid
	s.rename(set{dir, key, n})
	entry(n, out)
	return n, fuse.OK
}

func (s server) Mkdir(_ <-chan struct{}, input *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, status := s.make(&input.InHeader, name, folder, input.Mode, out)
	return status
}

func (s server) Symlink(_ <-chan struct{}, header *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, status := s.make(header, name, symlink, 0o777, out)
	if status == fuse.OK {
		n.target = target
		n.attr(&out.Attr)
	}
	return status
}

func (s server) Readlink(_ <-chan struct{}, header *fuse.InHeader) ([]byte, fuse.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.at(header.NodeId)
	if n == nil || n.kind != symlink {
		return nil, fuse.EINVAL
	}
	return []byte(n.target), fuse.OK
}

func (s server) Create(_ <-chan struct{}, input *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, status := s.make(&input.InHeader, name, file, input.Mode, &out.EntryOut)
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
	return status
}

func (s server) Link(_ <-chan struct{}, input *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, old, status := s.child(input.NodeId, name)
	n := s.at(input.Oldnodeid)
	switch {
	case status != fuse.OK:
		return status
	case old != nil:
		return fuse.Status(syscall.EEXIST)
	case n == nil || n.kind == folder:
		return fuse.EPERM
	}
	s.rename(set{dir, name, n})
	entry(n, out)
	return fuse.OK
}

func (s server) Unlink(_ <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	return s.remove(header.NodeId, name, false)
}

func (s server) Rmdir(_ <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	return s.remove(header.NodeId, name, true)
}

func (s server) remove(id uint64, name string, isFolder bool) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, old, status := s.child(id, name)
	switch {
	case status != fuse.OK:
		return status
	case old == nil:
		return fuse.ENOENT
	case isFolder && old.kind != folder:
		return fuse.ENOTDIR
	case !isFolder && old.kind == folder:
		return fuse.EISDIR
	case isFolder && len(old.names) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	}
	s.rename(set{dir, name, nil})
	return fuse.OK
}

func (s server) Rename(_ <-chan struct{}, input *fuse.RenameIn, from, to string) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, n, status := s.child(input.NodeId, from)
	if status != fuse.OK {
		return status
	}
	target, old, status := s.child(input.Newdir, to)
	switch {
	case status != fuse.OK:
		return status
	case n == nil:
		return fuse.ENOENT
	case input.Flags&^unix.RENAME_NOREPLACE != 0:
		return fuse.EINVAL
	case old != nil && input.Flags&unix.RENAME_NOREPLACE != 0:
		return fuse.Status(syscall.EEXIST)
	case old != nil && old.kind == folder && len(old.names) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	case old == n:
		return fuse.OK
	}
	s.rename(set{target, to, n}, set{dir, from, nil})
	return fuse.OK
}

func (s server) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
	return fuse.OK
}

func (s server) Read(_ <-chan struct{}, input *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.at(input.NodeId)
	if n == nil {
		return nil, fuse.Status(syscall.ESTALE)
	}
	return fuse.ReadResultData(buf[:n.now.read(buf, int64(input.Offset))]), fuse.OK
}

func (s server) Write(_ <-chan struct{}, input *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.at(input.NodeId)
	if n == nil {
		return 0, fuse.Status(syscall.ESTALE)
	}
	s.change(n, n.now.write(data, int64(input.Offset)))
	return uint32(len(data)), fuse.OK
}

func (s server) Fallocate(_ <-chan struct{}, input *fuse.FallocateIn) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, end := s.at(input.NodeId), int64(input.Offset+input.Length)
	switch {
	case n == nil:
		return fuse.Status(syscall.ESTALE)
	case input.Mode == unix.FALLOC_FL_KEEP_SIZE:
	case input.Mode == unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE:
		if end = min(end, n.now.size); int64(input.Offset) < end {
			s.change(n, n.now.write(make([]byte, end-int64(input.Offset)), int64(input.Offset)))
		}
	case input.Mode != 0:
		return fuse.Status(syscall.EOPNOTSUPP)
	case end > n.now.size:
		s.change(n, n.now.resize(end))
	}
	return fuse.OK
}

func (s server) Fsync(_ <-chan struct{}, input *fuse.FsyncIn) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.at(input.NodeId); n != nil {
		s.syncFile(n, input.FsyncFlags&1 != 0)
	}
	return fuse.OK
}

func (s server) FsyncDir(_ <-chan struct{}, input *fuse.FsyncIn) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.at(input.NodeId); n != nil {
		s.syncFolder(n)
	}
	return fuse.OK
}

func (s server) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (s server) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (s server) OpenDir(_ <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.at(input.NodeId)
	if n == nil || n.kind != folder {
		return fuse.ENOTDIR
	}
	list := []listed{{".", n}, {"..", n}}
	for _, key := range slices.Sorted(maps.Keys(n.names)) {
		list = append(list, listed{key, n.names[key]})
	}
	s.lastFh++
	out.Fh = s.lastFh
	s.handles[out.Fh] = list
	return fuse.OK
}

func (s server) ReadDir(_ <-chan struct{}, input *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.handles[input.Fh]
	for _, l := range list[min(int(input.Offset), len(list)):] {
		var attr fuse.Attr
		l.node.attr(&attr)
		if !out.AddDirEntry(fuse.DirEntry{Name: l.name, Ino: l.node.id, Mode: attr.Mode}) {
			break
		}
	}
	return fuse.OK
}

func (s server) ReleaseDir(input *fuse.ReleaseIn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.handles, input.Fh)
}

func (s server) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	const total, free = 16 << 30 / pageSize, 12 << 30 / pageSize
	*out = fuse.StatfsOut{Bsize: pageSize, Frsize: pageSize, NameLen: 255, Blocks: total, Bfree: free, Bavail: free, Files: 1 << 20, Ffree: 1 << 20}
	return fuse.OK
}
