package powerloss

import (
	"slices"
	"sync"
	"time"
)

// Options say what a Disk promises. The zero value promises least.
type Options struct {
	// Journal keeps the changes of names in order, and makes all of them durable
	// with a sync of any file that is new or changed its size, as ext4 and XFS do.
	Journal bool
}

// Disk is a tree of files that knows which of its changes are durable. It is safe for
// concurrent use.
type Disk struct {
	options Options

	mu      sync.Mutex
	seq     uint64
	root    *node
	nodes   map[uint64]*node // those that the kernel may ask for
	lastID  uint64
	renames []*rename // changes of names that are not durable yet, in order
	handles map[uint64][]listed
	lastFh  uint64
	steps   int
	syncs   int
	watch   *watch
	lies    bool

	unsynced int // see Unsynced
}

// kind is the type of a node.
type kind int

const (
	file kind = iota
	folder
	symlink
)

// node is a file, a directory or a symbolic link.
type node struct {
	id       uint64
	kind     kind
	mode     uint32 // permissions
	uid, gid uint32
	modified time.Time
	target   string // of a symlink

	links   int    // names that it has now
	lookups uint64 // that the kernel has not taken back

	now     content  // of a file
	durable content  // of a file
	changes []change // that lead from durable to now
	waiting int      // pages in changes

	names  map[string]*node // of a directory
	stored map[string]name  // of a directory: what is durable
}

// name is a durable name in a directory. A nil node means that a removal is
// durable, and later than what may still wait.
type name struct {
	node *node
	seq  uint64
}

// rename is one change of names, which is made whole or not at all: a create, a
// link or a removal sets one name, a rename two.
type rename struct {
	seq  uint64
	sets []set
}

type set struct {
	dir  *node
	name string
	to   *node // nil: the name is removed
}

// listed is an entry of a directory that is being read.
type listed struct {
	name string
	node *node
}

// New gives an empty disk.
func New(o Options) *Disk {
	d := &Disk{options: o, nodes: map[uint64]*node{}, handles: map[uint64][]listed{}}
	d.root = d.add(folder, 0o700)
	d.root.links, d.root.lookups = 1, 1
	return d
}

// Syncs is how often programs have synced.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// Steps is how many steps programs have made: see SnapshotAfter.
func (d *Disk) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps
}

// IgnoreSyncs makes the disk ignore all later syncs, although it reports success.
func (d *Disk) IgnoreSyncs() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lies = true
}

// add makes a node without a name.
func (d *Disk) add(k kind, mode uint32) *node {
	d.lastID++
	n := &node{id: d.lastID, kind: k, mode: mode & 0o7777, modified: time.Now()}
	if k == folder {
		n.names, n.stored = map[string]*node{}, map[string]name{}
	}
	d.nodes[n.id] = n
	return n
}

// forget removes a node that no program can reach any more. A power loss may restore its
// names and its durable data.
func (d *Disk) forget(n *node) {
	if n.links == 0 && n.lookups == 0 {
		delete(d.nodes, n.id)
		n.now, n.changes, n.waiting = content{}, nil, 0
	}
}

// Beyond these limits the oldest changes reach the disk, as they do on a real
// system sooner or later.
const (
	maxWaiting = 64 << 20 / pageSize // pages of one file
	maxRenames = 1000                // changes of names
)

// rename makes a change of names.
func (d *Disk) rename(sets ...set) {
	d.step()
	d.seq++
	d.renames = append(d.renames, &rename{d.seq, sets})
	for _, s := range sets {
		old := s.dir.names[s.name]
		if s.to == nil {
			delete(s.dir.names, s.name)
		} else {
			s.dir.names[s.name] = s.to
			s.to.links++
		}
		if old != nil {
			old.links--
			d.forget(old)
		}
		s.dir.modified = time.Now()
	}
	if len(d.renames) > maxRenames {
		oldest := d.renames[0]
		d.storeNames(func(r *rename) bool { return r == oldest })
	}
}

// change makes a change of a file.
func (d *Disk) change(n *node, ch change) {
	d.step()
	d.seq++
	ch.seq = d.seq
	n.now.apply(ch)
	n.modified = time.Now()
	n.changes = append(n.changes, ch)
	n.waiting += len(ch.pages)
	for n.waiting > maxWaiting {
		n.store(1)
	}
}

// store makes the oldest changes of a file durable.
func (n *node) store(count int) {
	for _, ch := range n.changes[:count] {
		n.durable.apply(ch)
		n.waiting -= len(ch.pages)
	}
	n.changes = slices.Delete(n.changes, 0, count)
}

// syncFile makes a file's data and size durable.
func (d *Disk) syncFile(n *node, dataOnly bool) {
	d.step()
	d.syncs++
	if d.lies {
		return
	}
	journal := !dataOnly || n.durable.size != n.now.size || d.fresh(n)
	n.store(len(n.changes))
	if d.options.Journal && journal {
		d.storeNames(func(*rename) bool { return true })
	}
}

// fresh reports whether a name of the node is not durable yet.
func (d *Disk) fresh(n *node) bool {
	return slices.ContainsFunc(d.renames, func(r *rename) bool {
		return slices.ContainsFunc(r.sets, func(s set) bool { return s.to == n })
	})
}

// syncFolder makes the names in a directory durable.
func (d *Disk) syncFolder(n *node) {
	d.step()
	d.syncs++
	if d.lies {
		return
	}
	d.storeNames(func(r *rename) bool {
		return d.options.Journal || slices.ContainsFunc(r.sets, func(s set) bool { return s.dir == n })
	})
}

// storeNames makes those changes of names durable that which selects.
func (d *Disk) storeNames(which func(*rename) bool) {
	d.renames = slices.DeleteFunc(d.renames, func(r *rename) bool {
		if !which(r) {
			return false
		}
		for _, s := range r.sets {
			if s.dir.stored[s.name].seq < r.seq {
				s.dir.stored[s.name] = name{s.to, r.seq}
			}
		}
		return true
	})
}
