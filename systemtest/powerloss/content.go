package powerloss

// Sizes in bytes.
const (
	pageSize   = 4096
	sectorSize = 512
)

// page is part of a file. It is never changed: a write makes a new page.
type page [pageSize]byte

var zeros page

// content is what a file holds. A nil page is one of zeros. Bytes of the last
// page beyond size are zeros.
type content struct {
	pages []*page
	size  int64
}

// change is one write, truncation or extension of a file, and what it made of
// the pages that it touched.
type change struct {
	seq   uint64
	first int     // the first page of pages
	pages []*page // as they were after the change
	size  int64   // of the file after the change
	cut   bool    // the file got shorter; pages holds the page that was cut, if any
}

func pages(size int64) int { return int((size + pageSize - 1) / pageSize) }

func (c *content) page(i int) *page {
	if i < len(c.pages) && c.pages[i] != nil {
		return c.pages[i]
	}
	return &zeros
}

// read reads into p from offset on, and returns how many bytes there were.
func (c *content) read(p []byte, offset int64) int {
	if offset >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-offset)]
	for done := 0; done < len(p); {
		at := offset + int64(done)
		done += copy(p[done:], c.page(int(at / pageSize))[at%pageSize:])
	}
	return len(p)
}

// write gives the change for a write of p at offset, without applying it.
func (c *content) write(p []byte, offset int64) change {
	ch := change{first: int(offset / pageSize), size: max(c.size, offset+int64(len(p)))}
	for done := 0; done < len(p); {
		at := offset + int64(done)
		made := *c.page(int(at / pageSize))
		done += copy(made[at%pageSize:], p[done:])
		ch.pages = append(ch.pages, &made)
	}
	return ch
}

// resize gives the change that sets the size, without applying it.
func (c *content) resize(size int64) change {
	ch := change{size: size, cut: size < c.size, first: pages(size)}
	if rest := size % pageSize; ch.cut && rest != 0 {
		made := *c.page(int(size / pageSize))
		clear(made[rest:])
		ch.first, ch.pages = int(size/pageSize), []*page{&made}
	}
	return ch
}

// apply makes a change.
func (c *content) apply(ch change) {
	c.resized(ch.size)
	for i, p := range ch.pages {
		c.put(ch.first+i, p)
	}
}

func (c *content) put(i int, p *page) {
	for len(c.pages) <= i {
		c.pages = append(c.pages, nil)
	}
	c.pages[i] = p
}

// resized sets the size, and forgets whole pages beyond it.
func (c *content) resized(size int64) {
	c.size = size
	if n := pages(size); n < len(c.pages) {
		clear(c.pages[n:])
		c.pages = c.pages[:n]
	}
}

func (c *content) clone() content {
	return content{pages: append([]*page(nil), c.pages...), size: c.size}
}
