package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// texts are the files of the release that are not binaries.
type texts struct {
	manuals     []entry // pages of section 1
	completions []entry // kubbi-mcp.bash, .zsh and .fish
	licence     []byte  // of the program
	licenceID   string  // its name, as SPDX has it
	holder      string  // of the copyright
	thirdParty  []byte  // the licences of all modules
}

// readTexts makes what the binary can tell.
func (r *release) readTexts(ctx context.Context) error {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script, err := r.ask(ctx, "completion", shell)
		if err != nil {
			return err
		}
		r.texts.completions = append(r.texts.completions, entry{name: "completion/" + r.about.Name + "." + shell, mode: 0o644, content: []byte(script)})
	}
	r.texts.manuals = r.makeManuals()
	licence, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return err
	}
	holder := regexp.MustCompile(`(?m)^Copyright \(c\) \d+ (.+)$`).FindSubmatch(licence)
	if holder == nil {
		return fmt.Errorf("LICENSE names no holder of the copyright")
	}
	r.texts.licence, r.texts.holder = licence, string(holder[1])
	return nil
}

// documents are the files that belong beside a binary, wherever it goes.
func (r *release) documents() []entry {
	return []entry{
		{name: "README.md", mode: 0o644, source: filepath.Join(r.root, "README.md")},
		{name: "CHANGELOG.md", mode: 0o644, source: filepath.Join(r.root, "CHANGELOG.md")},
		{name: "LICENSE", mode: 0o644, content: r.texts.licence},
		{name: "THIRD-PARTY-LICENSES.txt", mode: 0o644, content: r.texts.thirdParty},
	}
}

// service are the files of a team's relay under systemd, for a binary in a folder.
func (r *release) service(bin string) []entry {
	var all []entry
	for name, mode := range map[string]os.FileMode{"kubbi-relay-admin": 0o755, "kubbi-relay.service": 0o644, "kubbi-relay.tls.conf": 0o644} {
		content, err := os.ReadFile(filepath.Join(r.root, "deploy", name))
		if err != nil {
			panic(err) // the tree lacks a file of its own
		}
		content = bytes.ReplaceAll(content, []byte("/usr/local/bin/"), []byte(bin+"/"))
		all = append(all, entry{name: "deploy/" + name, mode: mode, content: content})
	}
	return sorted(all)
}

// makeManuals makes a page of section 1 for the whole and for each command.
func (r *release) makeManuals() []entry {
	var commands strings.Builder
	var all []entry
	page := func(name, summary, body string) {
		head := fmt.Sprintf(".TH %s 1 %s \"%s %s\"\n.SH NAME\n%s \\- %s\n", strings.ToUpper(name), r.when.Format("2006-01-02"), r.about.Name, r.version(), name, roff(summary))
		all = append(all, entry{name: "man/" + name + ".1", mode: 0o644, content: []byte(head + body)})
	}
	for _, c := range r.about.Commands {
		name := r.about.Name + "-" + strings.Join(c.Words, "-")
		usage := ".B " + r.about.Name + " " + strings.Join(c.Words, " ") + "\n[flags]"
		arguments := ""
		for _, a := range c.Arguments {
			usage += " " + roff(a.Usage)
			arguments += fmt.Sprintf(".TP\n.I %s\n%s\n", roff(a.Usage), roff(a.Help))
		}
		body := ".SH SYNOPSIS\n" + usage + "\n.SH DESCRIPTION\n" + roff(c.Help) + "\n" + arguments + roffFlags("OPTIONS", c.Flags)
		body += fmt.Sprintf(".SH SEE ALSO\n.BR %s (1),\nwhich has the options of all commands\n", r.about.Name)
		page(name, c.Help, body)
		fmt.Fprintf(&commands, ".TP\n.BR %s (1)\n%s\n", roff(name), roff(c.Help))
	}
	body := ".SH SYNOPSIS\n.B " + r.about.Name + "\n[command] [flags] [arguments]\n.SH DESCRIPTION\n" + roff(r.about.Description+" "+r.about.About) +
		"\n.SH COMMANDS\n" + commands.String() + roffFlags("OPTIONS OF ALL COMMANDS", r.about.Settings) +
		".SH EXIT STATUS\n.nf\n" + roff(strings.TrimPrefix(strings.TrimSpace(r.about.ExitCodes), "Exit codes:\n")) + "\n.fi\n"
	page(r.about.Name, r.about.Description, body)
	return sorted(all)
}

func roffFlags(heading string, flags []setting) string {
	if len(flags) == 0 {
		return ""
	}
	out := ".SH " + heading + "\n"
	for _, f := range flags {
		name := "--" + f.Name
		if f.Short != "" {
			name = "-" + f.Short + ", " + name
		}
		if f.Value != "" {
			name += "=" + f.Value
		}
		help := f.Help
		if f.Variable != "" {
			help += " [$" + f.Variable + "]"
		}
		out += fmt.Sprintf(".TP\n.B %s\n%s\n", roff(name), roff(help))
	}
	return out
}

// roff escapes a text for a manual page.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
