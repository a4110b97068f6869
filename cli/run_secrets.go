package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"kubbi-mcp/internal/child"
	"kubbi-mcp/internal/keep"
	"kubbi-mcp/internal/scrub"
	"kubbi-mcp/internal/secretfiles"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/claims"
)

// secretRun is a command on its way from the claims to its end.
type secretRun struct {
	app     *app
	command *child.Command
	scrubs  bool
	kept    keep.Folder
	keepFor time.Duration // 0: not at all
	uses    []secretUse
	folder  *secretfiles.Folder // nil: there are no files
	files   map[string]io.Writer

	env     []string
	secrets []scrub.Secret
}

// makeFiles makes the place for files, and empty files, before anything is claimed.
func (r *secretRun) makeFiles() (err error) {
	for _, u := range r.uses {
		if u.kind != asFile {
			continue
		}
		if r.folder == nil {
			if r.folder, err = secretfiles.New(); err != nil {
				return err
			}
			if runtime.GOOS == "linux" && !secretfiles.InMemory() {
				r.app.log.Warn("this system has no place in memory for the command's files: they are on the disk until they are wiped")
			}
			r.env = append(r.env, filesVariable+"="+r.folder.Path())
		}
		if r.files[u.name], err = r.folder.Create(u.name); err != nil {
			return err
		}
	}
	return nil
}

// wipe removes the files. It may be called again.
func (r *secretRun) wipe() {
	if r.folder == nil {
		return
	}
	if err := r.folder.Wipe(); err != nil {
		r.app.log.Error("wipe the command's files", "error", err)
	}
	r.folder = nil
}

// arguments replaces {NAME} by the path of that file. Other braces stay.
func (r *secretRun) arguments(args []string) []string {
	var pairs []string
	for _, u := range r.uses {
		if u.kind == asFile {
			pairs = append(pairs, "{"+u.name+"}", r.folder.FilePath(u.name))
		}
	}
	out := slices.Clone(args)
	replacer := strings.NewReplacer(pairs...)
	for i := 1; i < len(out); i++ {
		out[i] = replacer.Replace(out[i])
	}
	return out
}

// claimAndStart claims each source once and starts the command. The keys of the claims are
// held until it has been started.
func (r *secretRun) claimAndStart() error {
	started := false
	err := r.app.withBackend(func(b *backend) error {
		claimer := b.claimer()
		all, err := r.sources(claimer)
		if err != nil {
			return err
		}
		var reqs []claims.Request
		var claimed []*source
		for _, s := range all {
			if s.payload == nil {
				reqs = append(reqs, claims.Request{URL: s.text, Name: s.uses[0].String(), Repeat: claims.RepeatAny})
				claimed = append(claimed, s)
			}
		}
		_, err = claimer.PassAll(r.app.ctx, reqs, func(i int, seen *kubbi.Inspected) error { return claimed[i].fits(seen, r) },
			func(got []*kubbi.Claimed) error {
				for i, s := range claimed {
					if err := s.received(got[i]); err != nil {
						return fmt.Errorf("%s: %w", s.uses[0], err)
					}
				}
				if err := r.use(all, claimed); err != nil {
					return err
				}
				started = true
				return nil
			})
		if err != nil {
			return claimFailed(err)
		}
		return nil
	})
	if started && err != nil { // the command runs: it decides the exit code
		r.app.log.Error("after the command was started", "error", err)
		return nil
	}
	return err
}

// use puts all payloads where the command gets them, keeps the claimed ones if that is wanted,
// and starts the command.
func (r *secretRun) use(all, claimed []*source) error {
	for _, s := range all {
		for _, u := range s.uses {
			if err := r.take(u, s); err != nil {
				return fmt.Errorf("%s: %w", u, err)
			}
		}
	}
	if r.keepFor > 0 {
		for i, s := range claimed {
			if err := r.keep(s); err != nil {
				r.forget(claimed[:i])
				return fmt.Errorf("%s: --keep: %w", s.uses[0], err)
			}
		}
	}
	if err := r.start(); err != nil {
		if r.keepFor > 0 {
			r.forget(claimed)
		}
		return err
	}
	return nil
}

// take puts a payload where the command gets it.
func (r *secretRun) take(u secretUse, s *source) error {
	if why := u.sizeFault(s.payload.size, r.scrubs); why != "" {
		return errors.New(why)
	}
	content, err := s.open(u)
	if err != nil {
		return err
	}
	var value bytes.Buffer
	to := io.Writer(&value)
	if u.kind == asFile {
		to = r.files[u.name]
		if r.scrubs {
			to = io.MultiWriter(to, &value)
		}
	}
	if _, err := io.Copy(to, content); err != nil {
		return err
	}
	switch u.kind {
	case asFile:
		r.hide(u.name, value.Bytes())
		return nil
	case asVariables:
		return r.takeVariables(value.Bytes(), s.payload.fields)
	}
	return r.setVariable(u.name, strings.TrimRight(value.String(), "\r\n"))
}

// takeVariables sets a variable for each member of a JSON object. If the object answers a
// request, fields are those of the request, and the object must have exactly them.
func (r *secretRun) takeVariables(object []byte, fields []api.Field) error {
	members, err := membersOf(object, fields)
	if err != nil {
		return err
	}
	for name, value := range members {
		if why := strangersVariableFault(name); why != "" {
			return errors.New(why)
		}
		if slices.ContainsFunc(r.env, func(v string) bool { return strings.HasPrefix(v, name+"=") }) {
			return fmt.Errorf("%s is given twice", name)
		}
		if err := r.setVariable(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (r *secretRun) setVariable(name, value string) error {
	if strings.IndexByte(value, 0) >= 0 {
		return fmt.Errorf("the value of %s has a zero byte, which a variable can't hold: use --file", name)
	}
	r.env = append(r.env, name+"="+value)
	r.hide(name, []byte(value))
	return nil
}

// hide has a value replaced in the output.
func (r *secretRun) hide(name string, value []byte) {
	if !r.scrubs {
		return
	}
	if len(value) > 0 && len(value) < scrub.MinLength {
		r.app.log.Warn("the value is too short to be replaced in the command's output", "name", name)
		return
	}
	r.secrets = append(r.secrets, scrub.Secret{Name: name, Value: value})
}

// start starts the command, unless it is too late.
func (r *secretRun) start() error {
	if err := r.app.ctx.Err(); err != nil {
		return err
	}
	if r.folder != nil {
		if err := r.folder.Written(); err != nil {
			return err
		}
	}
	if err := r.command.Start(append(os.Environ(), r.env...), r.secrets, r.app.stdin, r.app.stdout, r.app.stderr); err != nil {
		return exitError{fmt.Errorf("start the command: %w", err), exitCantRun}
	}
	return nil
}
