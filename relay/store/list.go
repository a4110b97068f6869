package store

// Range says which kubbis are on a page: after Skip others, at most Limit of those with
// numbers below Below.
type Range struct {
	Below       Number
	Skip, Limit int
	OldestFirst bool // Skip counts from the oldest kubbi, and the result must be reversed
}

// maxList is greater than the length of any list.
const maxList = 1<<31 - 1

// Continues reports whether the page directly follows the page that gave its anchor.
func (p Page) Continues() bool { return p.Anchor.After > 0 && p.Number == p.Anchor.Page+1 }

// Range finds the page in a list of total kubbis whose numbers are all below newest. It
// counts from the nearer end of the list. Page 1 and a page that Continues do not need
// total. The Limit of a page that Continues is one more, so that Listed sees whether more
// kubbis follow. The bool is false for a page beyond the end.
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

// Listed makes the page from the kubbis of its Range, newest first. total and newest are
// those of Range.
func (p Page) Listed(newest Number, total int, kubbis []Kubbi) *Listed {
	l := &Listed{Kubbis: kubbis, Total: max(0, total), Anchor: Anchor{Newest: newest, Page: p.Anchor.Page, After: p.Anchor.After}}
	if p.Continues() && len(kubbis) > 0 {
		// If kubbis of earlier pages were removed, total is too small for the pages so far.
		l.Total = max(l.Total, (p.Number-1)*p.Limit+len(kubbis))
		l.Kubbis = kubbis[:min(len(kubbis), p.Limit)]
	}
	if n := len(l.Kubbis); n > 0 {
		l.Anchor.Page, l.Anchor.After = p.Number, l.Kubbis[n-1].Token.Number
	}
	return l
}
