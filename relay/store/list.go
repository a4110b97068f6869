package store

// Range is where the kubbis of a page are: at most Limit of those below a number,
// after Skip others.
type Range struct {
	Below       Number
	Skip, Limit int
	OldestFirst bool // Skip counts from the oldest one; the page's order is the other way round
}

// maxList is more than a list can have.
const maxList = 1<<31 - 1

// Continues reports whether the page is the one after that which gave its anchor.
func (p Page) Continues() bool { return p.Anchor.After > 0 && p.Number == p.Anchor.Page+1 }

// Range finds the page in a list of total kubbis that are all below newest, from the
// list's nearer end. Page 1 and one that Continues need no total. A page that
// Continues gets a Limit of one more, see Listed. Beyond the list it is false.
func (p Page) Range(newest Number, total int) (Range, bool) {
	if p.Number < 1 || p.Limit < 1 || p.Limit >= maxList || p.Number-1 > maxList/p.Limit {
		return Range{}, false
	}
	if p.Continues() {
		return Range{Below: min(p.Anchor.After, newest), Limit: p.Limit + 1}, true
	}
	skip := (p.Number - 1) * p.Limit
	left := total - skip
	switch {
	case skip == 0:
		return Range{Below: newest, Limit: p.Limit}, true
	case left <= 0:
		return Range{}, false
	case skip <= left:
		return Range{Below: newest, Skip: skip, Limit: p.Limit}, true
	}
	n := min(p.Limit, left)
	return Range{Below: newest, Skip: left - n, Limit: n, OldestFirst: true}, true
}

// Listed makes the page of the kubbis that its Range holds, newest first, in a list
// of total below newest.
func (p Page) Listed(newest Number, total int, kubbis []Kubbi) *Listed {
	l := &Listed{Kubbis: kubbis, Total: max(0, total), Anchor: Anchor{Newest: newest, Page: p.Anchor.Page, After: p.Anchor.After}}
	if p.Continues() && len(kubbis) > 0 {
		// Kubbis removed from earlier pages must not make the rest look like nothing.
		l.Total = max(l.Total, (p.Number-1)*p.Limit+len(kubbis))
		l.Kubbis = kubbis[:min(len(kubbis), p.Limit)]
	}
	if n := len(l.Kubbis); n > 0 {
		l.Anchor.Page, l.Anchor.After = p.Number, l.Kubbis[n-1].Token.Number
	}
	return l
}
