package files

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"kubbi-mcp/internal/disk"
)

// begin makes a file to write into. Where the system can, it has no name before
// Commit: if the process dies, nothing of it is left. Else it has a temporary one.
func (b *Batch) begin() (f *os.File, temp string, err error) {
	if f, err := b.unnamed(); err == nil {
		return f, "", nil
	}
	temp = b.tempName()
	f, err = b.create(temp)
	return f, temp, err
}

func (b *Batch) unnamed() (*os.File, error) {
	if b.noUnnamed {
		return nil, errors.ErrUnsupported
	}
	dir, err := b.dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return openUnnamed(dir)
}

// link gives a file without a name one that nothing has.
func (b *Batch) link(f *os.File, name string) error {
	dir, err := b.dir.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := linkUnnamed(f, dir, name); err != nil {
		return &fs.PathError{Op: "link", Path: name, Err: err}
	}
	return nil
}

// giveTemp gives a file without a name a temporary one. What can't be linked is
// copied: it has cost a retrieval.
func (b *Batch) giveTemp(s *staged) error {
	if s.file == nil {
		return nil
	}
	temp := b.tempName()
	if err := b.link(s.file, temp); err != nil {
		if cerr := b.copyTo(temp, s.file); cerr != nil {
			return errors.Join(err, cerr)
		}
	}
	s.temp = temp
	return s.close()
}

func (b *Batch) copyTo(temp string, from *os.File) error {
	f, err := b.create(temp)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(from, 0, 1<<62))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return errors.Join(err, disk.Remove(b.dir, temp))
	}
	return nil
}

// close closes a file without a name, which ends it unless it has been given one.
func (s *staged) close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}
