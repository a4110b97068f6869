package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Number orders kubbis by the time of their creation. It is the primary key of a kubbi's row,
// is above 0, and has 48 bits of milliseconds since 1970, 12 bits of a fraction of a
// millisecond and 4 random bits. A claim token begins with the number, and an ID contains it.
type Number int64

const (
	fractionBits = 12
	randomBits   = 4
	lowBits      = fractionBits + randomBits
)

// NumberAt is the smallest number of a time.
func NumberAt(t time.Time) Number {
	fraction := int64(t.Nanosecond()) % 1e6 << fractionBits / 1e6
	return Number(t.UnixMilli()<<lowBits | fraction<<randomBits)
}

// Time is when the number was made, to the millisecond.
func (n Number) Time() time.Time { return time.UnixMilli(int64(n) >> lowBits).UTC() }

// ID makes an id that contains the number: a UUID of version 7 with 58 more bits from
// random.
func (n Number) ID(random io.Reader) (string, error) {
	var u uuid.UUID
	if _, err := io.ReadFull(random, u[8:]); err != nil {
		return "", fmt.Errorf("make id: %w", err)
	}
	binary.BigEndian.PutUint64(u[:8], uint64(n))
	low := u[7] & 0xf
	// The version is between milliseconds and fraction, the variant after the fraction.
	u[7] = u[6]<<4 | u[7]>>4
	u[6] = 0x70 | u[6]>>4
	u[8] = 0x80 | low<<2 | u[8]&3
	return u.String(), nil
}

var errID = errors.New("kubbi id is not a UUID of version 7 in lower case")

// ParseID parses a Kubbi.ID and returns the number that it contains. It accepts only the
// spelling of Number.ID.
func ParseID(id string) (uuid.UUID, Number, error) {
	u, err := uuid.Parse(id)
	if err != nil || u.String() != id || u[6]>>4 != 7 || u[8]>>6 != 2 {
		return uuid.UUID{}, 0, errID
	}
	b := u
	low := b[8] >> 2 & 0xf
	b[6] = u[6]<<4 | u[7]>>4
	b[7] = u[7]<<4 | low
	n := Number(binary.BigEndian.Uint64(b[:8]))
	if n <= 0 {
		return uuid.UUID{}, 0, errID
	}
	return u, n, nil
}

// Numbers makes increasing numbers. Its zero value is ready, and many goroutines may use it.
type Numbers struct {
	mu   sync.Mutex
	last Number
}

// Next returns a number for now, with its last bits from random. Two processes rarely get
// the same number. If they do, the second Create returns ErrExists.
func (s *Numbers) Next(now time.Time, random io.Reader) (Number, error) {
	var b [1]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0, fmt.Errorf("make number: %w", err)
	}
	n := NumberAt(now) | Number(b[0]&(1<<randomBits-1))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(n, s.last+1)
	return s.last, nil
}
