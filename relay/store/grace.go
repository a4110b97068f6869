package store

// Grace is what a store keeps of a claim with an idempotency key, so that it can
// repeat the answer.
type Grace struct {
	Until  Millis // Never: there is none
	Number int    // of the retrieval
	At     Millis // when it was counted
}

// Graces are the graces of one kubbi. Most kubbis see one claim key, whose grace is
// in the row; the graces of other keys are in a table.
//
// While a row is changed, Mine is the grace in the table of the key that the call is
// about, and Others is when the last of the other graces in the table ends. A backend
// reads the two if More is set.
type Graces struct {
	Key   Hash
	InRow Grace // of Key
	More  bool  // there may be graces in the table

	Mine    Grace
	MineKey Hash // set with Changed
	Others  Millis
	Changed bool // Mine must be written to the table, or deleted if its Until is Never
}

var noGraces = Graces{InRow: Grace{Until: Never}, Mine: Grace{Until: Never}, Others: Never}

// of is the grace of the key that the call is about.
func (g *Graces) of(key Hash) Grace {
	if g.InRow.Until != Never && g.Key == key {
		return g.InRow
	}
	return g.Mine
}

// last is when the last grace ends, Never without one.
func (g *Graces) last() Millis { return max(g.InRow.Until, g.Mine.Until, g.Others) }

// add keeps a grace: in the row, if there is room for it.
func (g *Graces) add(key Hash, grace Grace, now Millis) {
	if g.Key == key || g.InRow.Until <= now {
		g.Key, g.InRow = key, grace
		return
	}
	g.Mine, g.MineKey, g.More, g.Changed = grace, key, true, true
}

// end ends the grace of a key, and reports whether there was one.
func (g *Graces) end(key Hash) bool {
	switch {
	case g.InRow.Until != Never && g.Key == key:
		g.InRow.Until = Never
	case g.Mine.Until != Never:
		g.Mine.Until, g.MineKey, g.Changed = Never, key, true
	default:
		return false
	}
	return true
}
