package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// entry is a file or a folder of an archive. Exactly one of content and source is set,
// or neither for a folder.
type entry struct {
	name    string // with slashes
	mode    fs.FileMode
	content []byte
	source  string // a file on this machine
	uid     int
}

// read gives the entry's content.
func (e entry) read() ([]byte, error) {
	if e.source == "" {
		return e.content, nil
	}
	return os.ReadFile(e.source)
}

// writeTar writes entries in their order, all of one time and nobody's.
func writeTar(w io.Writer, when time.Time, entries []entry) error {
	t := tar.NewWriter(w)
	for _, e := range entries {
		content, err := e.read()
		if err != nil {
			return err
		}
		h := &tar.Header{Name: e.name, Mode: int64(e.mode.Perm()), Size: int64(len(content)), ModTime: when, Typeflag: tar.TypeReg, Uid: e.uid, Gid: e.uid}
		if e.mode.IsDir() {
			h.Typeflag, h.Name = tar.TypeDir, e.name+"/"
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(content); err != nil {
			return err
		}
	}
	return t.Close()
}

// tarGz is writeTar through gzip.
func tarGz(when time.Time, entries []entry) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.DefaultCompression)
	if err != nil {
		return nil, err
	}
	if err := writeTar(z, when, entries); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// zipFile makes a zip that keeps modes.
func zipFile(when time.Time, entries []entry) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.DefaultCompression)
	})
	for _, e := range entries {
		content, err := e.read()
		if err != nil {
			return nil, err
		}
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: when}
		h.SetMode(e.mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// gzipped compresses a text.
func gzipped(content []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(content); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// sorted sorts entries by name.
func sorted(entries []entry) []entry {
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries
}

// below puts entries into a folder.
func below(folder string, entries []entry) []entry {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].name = folder + "/" + entries[i].name
	}
	return entries
}

// makeArchive makes the archive for a platform.
func (r *release) makeArchive(p platform) error {
	name := r.archiveName(p)
	entries := append([]entry{{name: p.exe(r.about.Name), mode: 0o755, source: r.binaries[p]}}, r.documents()...)
	if p.os == "linux" {
		entries = append(entries, r.service("/usr/local/bin")...)
	}
	pack := tarGz
	if p.os == "windows" {
		pack = zipFile
	} else {
		entries = append(entries, r.texts.manuals...)
		entries = append(entries, r.texts.completions...)
		entries = below(r.archiveFolder(p), entries)
	}
	b, err := pack(r.when, entries)
	if err != nil {
		return err
	}
	return r.write(b, name)
}

// archiveFolder is the folder in an archive that is no zip.
func (r *release) archiveFolder(p platform) string {
	return r.about.Name + "_" + r.version() + "_" + p.String()
}

func (r *release) archiveName(p platform) string {
	if p.os == "windows" {
		return r.archiveFolder(p) + ".zip"
	}
	return r.archiveFolder(p) + ".tar.gz"
}
