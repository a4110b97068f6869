package kubbi

import (
	"io"
	"sync"
)

// Progress is told how many bytes of a payload have moved, and of how many; 0
// where that is not known. It starts at 0 with every attempt of a call, and ends
// with done at the total when all have moved. It is called from within the call,
// never after it has returned, and must not block.
type Progress func(done, total int64)

// received counts what is read of an answer.
type received struct {
	io.ReadCloser
	report Progress
	done   int64
	total  int64
	end    sync.Once
}

// watchBody gives an answer's body, whose reading it reports.
func watchBody(body io.ReadCloser, length int64, report Progress) io.ReadCloser {
	r := &received{ReadCloser: body, report: report, total: max(0, length)}
	report(0, r.total)
	return r
}

func (r *received) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.done += int64(n); n > 0 {
		r.report(r.done, r.total)
	}
	if err == io.EOF && r.total == 0 {
		r.end.Do(func() { r.report(r.done, r.done) })
	}
	return n, err
}
