package sqlite

import "kubbi-mcp/relay/store"

// grace is that of the key, with Until store.Never if there is none.
func (t *tx) grace(r *row, key store.Hash) (store.Grace, error) {
	none := store.Grace{Until: store.Never}
	if r.grace.Until != store.Never && r.graceKey == key {
		return r.grace, nil
	}
	if !r.graceMore {
		return none, nil
	}
	s := t.graceGet
	s.bindInt(1, int64(r.number))
	s.bindBytes(2, key[:])
	ok, err := s.step()
	if err != nil || !ok {
		return none, err
	}
	defer s.reset()
	return store.Grace{Until: s.time(0), Number: int(s.int(1)), At: s.time(2)}, nil
}

// otherGrace is store.ErrOtherKey if a grace is open, for a key that has none.
func (t *tx) otherGrace(r *row, now store.Millis) error {
	if !r.Sealed {
		return nil
	}
	last, err := t.lastGrace(r)
	if err == nil && last > now {
		err = store.ErrOtherKey
	}
	return err
}

// setGrace keeps a grace: in the row, which is written later, if there is room.
func (t *tx) setGrace(r *row, key store.Hash, g store.Grace, now store.Millis) error {
	if r.graceKey == key || r.grace.Until <= now {
		r.graceKey, r.grace = key, g
		return nil
	}
	r.graceMore = true
	s := t.gracePut
	s.bindInt(1, int64(r.number))
	s.bindBytes(2, key[:])
	s.bindInt(3, int64(g.Until))
	s.bindInt(4, int64(g.Number))
	s.bindInt(5, int64(g.At))
	return s.run()
}

// endGrace drops the grace of a key and tells whether there was one.
func (t *tx) endGrace(r *row, key store.Hash) (bool, error) {
	if r.grace.Until != store.Never && r.graceKey == key {
		r.grace = store.Grace{Until: store.Never}
		return true, nil
	}
	g, err := t.grace(r, key)
	if err != nil || g.Until == store.Never {
		return false, err
	}
	return true, t.dropGrace(int64(r.number), key[:])
}

func (t *tx) dropGrace(number int64, key []byte) error {
	t.graceDel.bindInt(1, number)
	t.graceDel.bindBytes(2, key)
	return t.graceDel.run()
}
