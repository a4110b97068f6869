package powerloss

// Files gives what every file holds at this instant, synced or not, by its path.
func (d *Disk) Files() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := map[string][]byte{}
	d.root.collect("", found)
	return found
}

func (n *node) collect(path string, found map[string][]byte) {
	for key, child := range n.names {
		switch child.kind {
		case folder:
			child.collect(path+key+"/", found)
		case file:
			b := make([]byte, child.now.size)
			child.now.read(b, 0)
			found[path+key] = b
		}
	}
}
