package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"kubbi-mcp/internal/child"
	"kubbi-mcp/internal/scrub"
	"kubbi-mcp/internal/secretfiles"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/claims"
)

// secretRun is a command on its way from the claims to its end.
type secretRun struct {
	app     *app
	command *child.Command
	scrubs  bool
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

// arguments puts paths in the place of {NAME}. Other braces stay.
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

// claimAndStart claims each claim URL once and starts the command. The keys of the claims
// are held until it has been started.
func (r *secretRun) claimAndStart() error {
	var reqs []claims.Request
	var byClaim [][]secretUse
	at := map[string]int{} // by token
	for _, u := range r.uses {
		claimURL, err := kubbi.ParseClaimURL(u.url)
		if err != nil {
			return usage(err)
		}
		i, ok := at[claimURL.Token()]
		if !ok {
			i = len(reqs)
			at[claimURL.Token()] = i
			reqs = append(reqs, claims.Request{URL: u.url, Name: u.String(), Repeat: claims.RepeatAny})
			byClaim = append(byClaim, nil)
		}
		byClaim[i] = append(byClaim[i], u)
	}
	started := false
	err := r.app.withBackend(func(b *backend) error {
		dir, err := r.app.dataDir()
		if err != nil {
			return usage(err)
		}
		claimer := claims.New(b.client, claims.NewState(dir), "", r.app.log)
		check := func(i int, seen *kubbi.Inspected) error {
			for _, u := range byClaim[i] {
				if err := u.fits(seen, r.scrubs); err != nil {
					return err
				}
			}
			return nil
		}
		_, err = claimer.PassAll(r.app.ctx, reqs, check, func(got []*kubbi.Claimed) error {
			for i, uses := range byClaim {
				for _, u := range uses {
					if err := r.take(u, got[i]); err != nil {
						return fmt.Errorf("%s: %w", u, err)
					}
				}
			}
			if err := r.start(); err != nil {
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

// take puts a payload where the command gets it.
func (r *secretRun) take(u secretUse, got *kubbi.Claimed) error {
	if len(got.Parts) != 1 {
		return errors.New("this is a package of several files")
	}
	part := got.Parts[0]
	if why := u.sizeFault(part.Size, r.scrubs); why != "" {
		return errors.New(why)
	}
	content, err := part.Open()
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
		return r.takeVariables(value.Bytes())
	}
	return r.setVariable(u.name, strings.TrimRight(value.String(), "\r\n"))
}

// takeVariables sets a variable for each member of a JSON object.
func (r *secretRun) takeVariables(object []byte) error {
	var members map[string]string
	if err := json.Unmarshal(object, &members); err != nil || members == nil {
		return errors.New("this is no JSON object of strings")
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
	r.command.SetEnv(append(os.Environ(), r.env...))
	if r.scrubs {
		r.command.Scrub(r.secrets)
	} else {
		r.command.Plain()
	}
	if err := r.command.Start(r.app.stdin, r.app.stdout, r.app.stderr); err != nil {
		return cantStart{fmt.Errorf("start the command: %w", err), exitCantRun}
	}
	return nil
}
