// Package memory tunes Go's garbage collector. All constants and calls that do so are
// here, each with the measurement that justifies it (go1.26, Linux, 2 cores,
// GOEXPERIMENT=jsonv2; the benchmark is systemtest/bench).
package memory

import (
	"runtime"
	"runtime/debug"
)

// SetSoftLimit lets a stdio server collect more often while its heap is above 36 MiB. Its
// usual work stays well below. GOMEMLIMIT overrides it.
//
// bench -only memory, claim of 10 MiB in the answer: peak 58 MB without the limit,
// 50 MB with it.
func SetSoftLimit() { debug.SetMemoryLimit(36 << 20) }

// relayBallast is the size of memory that the collector counts as live. The program never
// touches it, so the system gives it no pages. A busy relay has 5 MB of live data. With the
// ballast its heap may grow to twice the ballast before a collection, not only to 10 MB. A
// larger GOGC would do the same, but also let a large heap double.
//
// Creates and claims of 1 KB, 16 callers: an eighth less processor time, for 20 MB.
const relayBallast = 16 << 20

// HoldRelayBallast holds the ballast until release is called.
func HoldRelayBallast() (release func()) {
	ballast := make([]byte, relayBallast)
	return func() { runtime.KeepAlive(ballast) }
}

// LargeMessage is the size of a message, in bytes, above which Collect and Release are
// worth their time.
const LargeMessage = 4 << 20

// Collect collects garbage now. It is for the moment before a large allocation, when
// the copies that came before it are garbage.
//
// bench -only memory, claim of 10 MiB in the answer: peak 58 MB without it, 51 MB
// with it. The same before a large request was parsed changed nothing.
func Collect() { runtime.GC() }

// Release collects garbage and gives free memory back to the system, since a server is
// idle most of the time.
//
// A stdio server that has taken a message of 10 MiB: 57 MB resident without it, 39 MB
// with it, as before the message. bench -only sessions, 1,000 idle sessions over HTTP: 48
// MB without it, 42 MB with it; over SSE 78 and 72 MB.
func Release() { debug.FreeOSMemory() }
