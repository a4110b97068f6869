package hostfile

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// errChanged is a fault of this package: an edit would have changed something else.
var errChanged = errors.New("the edit would change other parts of the file, so nothing was written: add the entry by hand")

// Set gives the file's text with the server's entry. An entry of that name gets the new
// command and arguments, and the variables of s; its other members stay. text may be empty.
// If nothing changes, Set returns text. The error says what is wrong with the file.
func (h Host) Set(text []byte, s Server) ([]byte, error) {
	edit := setJSON
	if h.language == toml {
		edit = setTOML
	}
	after := text
	for _, m := range h.members(s) {
		var err error
		if after, err = edit(after, append([]string{h.section, s.Name}, m.path...), m.value); err != nil {
			return nil, err
		}
	}
	return after, h.onlyEntryDiffers(text, after, s.Name)
}

// member is a member of an entry.
type member struct {
	path  []string
	value any // a string or a []string
}

func (h Host) members(s Server) (all []member) {
	for _, f := range h.fixed {
		all = append(all, member{f[:1], f[1]})
	}
	args := s.Args
	if args == nil {
		args = []string{}
	}
	all = append(all, member{[]string{"command"}, s.Command}, member{[]string{"args"}, args})
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		all = append(all, member{[]string{"env", name}, s.Env[name]})
	}
	return all
}

// Remove gives the file's text without the entry of that name. If there is none, it returns
// text.
func (h Host) Remove(text []byte, name string) ([]byte, error) {
	edit := removeJSON
	if h.language == toml {
		edit = removeTOML
	}
	after, err := edit(text, h.section, name)
	if err != nil {
		return nil, err
	}
	return after, h.onlyEntryDiffers(text, after, name)
}

// Servers reads all servers that a host's file starts with a command, sorted by name.
func (h Host) Servers(text []byte) (servers []Server, err error) {
	all, err := h.parse(text)
	if err != nil {
		return nil, err
	}
	section, _ := all[h.section].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(section)) {
		entry, _ := section[name].(map[string]any)
		s := Server{Name: name}
		if s.Command, _ = entry["command"].(string); s.Command == "" {
			continue
		}
		args, _ := entry["args"].([]any)
		for _, a := range args {
			text, _ := a.(string)
			s.Args = append(s.Args, text)
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func (h Host) parse(text []byte) (map[string]any, error) {
	if h.language == toml {
		return parseTOML(text)
	}
	return parseJSON(text)
}

// onlyEntryDiffers checks that two texts say the same but for the entry of that name.
func (h Host) onlyEntryDiffers(before, after []byte, name string) error {
	var others [2]map[string]any
	for i, text := range [][]byte{before, after} {
		all, err := h.parse(text)
		if err != nil {
			return fmt.Errorf("after the edit: %w", err)
		}
		if section, ok := all[h.section].(map[string]any); ok {
			if delete(section, name); len(section) == 0 {
				delete(all, h.section)
			}
		}
		others[i] = all
	}
	if !reflect.DeepEqual(others[0], others[1]) {
		return errChanged
	}
	return nil
}
