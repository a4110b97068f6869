package kubbi

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
)

// hostedRules answers as the hosted service does, which takes ASCII names only.
func hostedRules(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case api.PathHealth:
		answer(w, http.StatusOK, api.Health{Status: "ok", Database: "connected"})
	default:
		answer(w, http.StatusNotFound, api.ErrorBody{Error: api.CodeNotFound, Message: "no such route"})
	}
}

func TestFileNames(t *testing.T) {
	ours := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(api.HeaderFileNames, api.FileNamesAny)
		hostedRules(w, r)
	}
	noHealth := func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, api.ErrorBody{Error: api.CodeNotFound, Message: "no such route"})
	}
	in := []string{"отчёт.csv", "一.txt", "二.txt", "plain.md"}
	ascii := []string{"file-64eed4.csv", "file-70b817.txt", "file-c115e1.txt", "plain.md"}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		in      []string
		want    []string
		asked   int // of two calls
	}{
		{"a relay of ours", ours, in, in, 1},
		{"the hosted service", hostedRules, in, ascii, 2},
		{"a service that has no health", noHealth, in, ascii, 2},
		{"names that every service takes", hostedRules, []string{"a.txt", "b.txt"}, []string{"a.txt", "b.txt"}, 0},
	} {
		var s seen
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { s.add(r); tt.handler(w, r) })
		for range 2 {
			got, err := c.FileNames(t.Context(), tt.in)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%s: %q, %v", tt.name, got, err)
			}
		}
		if n := len(s.all()); n != tt.asked {
			t.Errorf("%s: was asked %d times", tt.name, n)
		}
		for _, r := range s.all() {
			if r.header.Get("Authorization") != "" {
				t.Errorf("%s: %s was sent the API key", tt.name, r.path)
			}
		}
	}
}

// TestFileNamesRefused: a name that some system can't save goes nowhere.
func TestFileNamesRefused(t *testing.T) {
	var s seen
	c, srv := serve(t, func(w http.ResponseWriter, r *http.Request) { s.add(r); hostedRules(w, r) })
	for _, tt := range []struct {
		names []string
		want  string
	}{
		{[]string{"aux.h"}, `"aux_.h"`},
		{[]string{"a.txt", "notes."}, `the name of file 2 must not end with a dot, a space or a joiner: send it as "notes"`},
		{[]string{"caf\u00e9.txt", "b", "CAFE\u0301.TXT"}, "file 3 has the name of file 1"},
	} {
		var files []File
		for _, name := range tt.names {
			files = append(files, File{Name: name, Content: "x", ContentType: "text/plain"})
		}
		_, err := c.FileNames(t.Context(), tt.names)
		for _, sealed := range []bool{false, true} {
			_, serr := c.SendFiles(t.Context(), SendFilesParams{Files: files, Sealed: sealed})
			err = errors.Join(err, serr)
		}
		if !errors.Is(err, ErrValidation) || strings.Count(err.Error(), tt.want) != 3 {
			t.Errorf("%q: %v, want %q three times", tt.names, err, tt.want)
		}
	}
	if len(s.all()) > 0 {
		t.Errorf("%d requests were made", len(s.all()))
	}
	srv.Close()
	if _, err := c.FileNames(t.Context(), []string{"一.txt"}); !errors.Is(err, ErrNetwork) {
		t.Errorf("no answer: %v", err)
	}
}
