package powerloss

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Snapshot gives the disk that a loss of power at this instant could leave
// behind. The seed chooses which. The disk goes on, and the new one is apart
// from it; all that the new one holds is durable.
func (d *Disk) Snapshot(seed uint64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.snapshot(seed)
}

// Unsynced is how many changes were not durable when the loss of power happened
// that this disk is left from.
func (d *Disk) Unsynced() int { return d.unsynced }

// watch is a snapshot that is due.
type watch struct {
	steps int
	seed  uint64
	taken chan taken // has room
}

type taken struct {
	disk *Disk
	at   time.Time
}

// SnapshotAfter is Snapshot once programs have made so many more steps: writes,
// changes of names and syncs. The function that it gives waits for it, and also
// says when that was. Only one may be due at a time.
func (d *Disk) SnapshotAfter(steps int, seed uint64) (wait func(context.Context) (*Disk, time.Time, error)) {
	w := &watch{steps: steps, seed: seed, taken: make(chan taken, 1)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watch = w
	return func(ctx context.Context) (*Disk, time.Time, error) {
		select {
		case t := <-w.taken:
			return t.disk, t.at, nil
		case <-ctx.Done():
			return nil, time.Time{}, ctx.Err()
		}
	}
}

// step is called before each step.
func (d *Disk) step() {
	d.steps++
	w := d.watch
	if w == nil {
		return
	}
	if w.steps--; w.steps < 0 {
		d.watch = nil
		w.taken <- taken{d.snapshot(w.seed), time.Now()}
	}
}

func (d *Disk) snapshot(seed uint64) *Disk {
	l := newLoss(seed, d.seq)
	tree := d.survivors(l)
	made := &Disk{options: d.options, nodes: map[uint64]*node{}, handles: map[uint64][]listed{}}
	copies := map[*node]*node{}
	var clone func(n *node) *node
	clone = func(n *node) *node {
		if c := copies[n]; c != nil { // it has several names
			return c
		}
		c := made.add(n.kind, n.mode)
		copies[n] = c
		c.uid, c.gid, c.modified, c.target = n.uid, n.gid, n.modified, n.target
		switch n.kind {
		case file:
			c.durable = l.content(n)
			c.now = c.durable.clone()
		case folder:
			for _, key := range slices.Sorted(maps.Keys(tree[n])) {
				child := clone(tree[n][key].node)
				child.links++
				c.names[key], c.stored[key] = child, name{child, 0}
			}
		}
		return c
	}
	made.root = clone(d.root)
	made.unsynced = len(d.renames)
	for _, n := range d.nodes {
		made.unsynced += len(n.changes)
	}
	made.root.links, made.root.lookups = 1, 1
	return made
}

// survivors says which names each directory has after the loss.
func (d *Disk) survivors(l *loss) map[*node]map[string]name {
	tree := map[*node]map[string]name{}
	var visit func(n *node)
	visit = func(n *node) {
		if n.kind != folder || tree[n] != nil {
			return
		}
		tree[n] = maps.Clone(n.stored)
		for _, s := range n.stored {
			if s.node != nil {
				visit(s.node)
			}
		}
	}
	visit(d.root)
	waiting := d.renames
	if d.options.Journal { // they change in order
		waiting = waiting[:l.random.IntN(len(waiting)+1)]
	}
	for _, r := range waiting {
		if !d.options.Journal && !l.keeps(r.seq) {
			continue
		}
		for _, s := range r.sets {
			visit(s.dir)
			if s.to != nil {
				visit(s.to)
			}
			if tree[s.dir][s.name].seq < r.seq {
				tree[s.dir][s.name] = name{s.to, r.seq}
			}
		}
	}
	for _, names := range tree {
		maps.DeleteFunc(names, func(_ string, s name) bool { return s.node == nil })
	}
	return tree
}

// loss chooses what reached the disk.
type loss struct {
	random *rand.Rand
	share  float64 // of what is kept
	until  uint64  // what came later is lost
	grain  int     // sectors that share one fate; 0: a whole write
}

func newLoss(seed, now uint64) *loss {
	random := rand.New(rand.NewPCG(seed, 0x10551055))
	l := &loss{random: random, until: now}
	l.share = []float64{0, 1, 0.1, 0.5, 0.5, 0.9}[random.IntN(6)]
	l.grain = []int{0, 0, pageSize / sectorSize, 1}[random.IntN(4)]
	if random.IntN(4) == 0 { // the newest alone are lost
		l.until -= min(now, uint64(random.IntN(200)))
		l.share = 1
	}
	return l
}

func (l *loss) keeps(seq uint64) bool {
	return seq <= l.until && l.random.Float64() < l.share
}

// content says what a file holds after the loss.
func (l *loss) content(n *node) content {
	c := n.durable.clone()
	sizes := []int64{c.size}
	for _, ch := range n.changes {
		if ch.seq > l.until {
			break
		}
		whole := l.keeps(ch.seq)
		if ch.cut {
			// What follows was written into the shorter file, so it is lost with it.
			if !whole {
				break
			}
			c.apply(ch)
			sizes = append(sizes[:0], ch.size)
			continue
		}
		sizes = append(sizes, ch.size)
		for i, p := range ch.pages {
			if l.grain == 0 && whole {
				c.put(ch.first+i, p)
			} else if l.grain > 0 {
				l.mix(&c, ch.first+i, p)
			}
		}
	}
	// The size is an inode's affair: any that it had since may be there. Data
	// beyond it is out of reach, and a size without data reads as zeros.
	size := sizes[len(sizes)-1]
	if l.share < 1 {
		size = sizes[l.random.IntN(len(sizes))]
	}
	c.cutTo(size)
	return c
}

// mix takes over some sectors of a page.
func (l *loss) mix(c *content, i int, p *page) {
	made := *c.page(i)
	for at := 0; at < pageSize; at += l.grain * sectorSize {
		if l.random.Float64() < l.share {
			end := at + l.grain*sectorSize
			copy(made[at:end], p[at:end])
		}
	}
	c.put(i, &made)
}

// cutTo sets the size, and clears what lies beyond it.
func (c *content) cutTo(size int64) {
	if len(c.pages) > int(size/pageSize) {
		if rest := size % pageSize; rest != 0 {
			made := *c.page(int(size / pageSize))
			clear(made[rest:])
			c.put(int(size/pageSize), &made)
		}
	}
	c.resized(size)
}

// WriteTo writes the tree as it is now, synced or not, into a directory that is
// there already.
func (d *Disk) WriteTo(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return writeTree(d.root, dir, map[*node]string{})
}

func writeTree(n *node, dir string, written map[*node]string) error {
	for key, child := range n.names {
		path := filepath.Join(dir, key)
		var err error
		switch {
		case child.kind == folder:
			if err = os.Mkdir(path, 0o700); err == nil {
				err = writeTree(child, path, written)
			}
		case child.kind == symlink:
			err = os.Symlink(child.target, path)
		case written[child] != "":
			err = os.Link(written[child], path)
		default:
			written[child] = path
			err = writeFile(child, path)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

func writeFile(n *node, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(n.now.size); err != nil {
		return err
	}
	for i, p := range n.now.pages {
		if p == nil {
			continue
		}
		at := int64(i) * pageSize
		if _, err := f.WriteAt(p[:min(pageSize, n.now.size-at)], at); err != nil {
			return err
		}
	}
	return f.Close()
}
