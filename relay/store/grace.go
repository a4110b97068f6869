package store

// Grace is what a store keeps about a claim with an idempotency key to repeat its answer.
type Grace struct {
	Until  Millis // Never: there is no grace
	Number int    // of the retrieval
	At     Millis // when it was counted
}

// Graces are the graces of one kubbi. Most kubbis have one claim key, whose grace is in the
// row. The graces of other keys are in a table.
//
// Mine and Others are used while a row is changed by a call with a claim key. Mine is the
// grace of this key in the table. Others is when the last of the other graces in the table
// ends. A backend reads both if More is set.
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

// of is the grace of the call's key.
func (g *Graces) of(key Hash) Grace {
	if g.InRow.Until != Never && g.Key == key {
		return g.InRow
	}
	return g.Mine
}

// last is when the last grace ends; Never: there is none.
func (g *Graces) last() Millis { return max(g.InRow.Until, g.Mine.Until, g.Others) }

// add adds a grace, in the row if that has no other open grace.
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
