package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"golang.org/x/term"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// answerCmd is `kubbi-mcp answer`.
type answerCmd struct {
	URL         string   `arg:"" name:"url" help:"The request URL, or a text with it."`
	Values      []string `arg:"" optional:"" name:"value" complete:"file" help:"For scripts. NAME=FILE takes a field's value from a file, NAME=- from standard input; - alone takes standard input for the only field, or a JSON object of all fields. If files are asked for: the files, or - for standard input."`
	Name        string   `placeholder:"NAME" help:"The name of the file that standard input is, if files are asked for."`
	Fingerprint string   `placeholder:"TEXT" help:"Answer only if the request has this fingerprint, which whoever asks has told you."`
	JSON        bool     `name:"json" help:"Print JSON."`
}

// Run shows who asks for what, gathers the values and answers.
func (c *answerCmd) Run(a *app) error {
	return a.withBackend(func(b *backend) error {
		q, err := b.client.Question(a.ctx, c.URL)
		if err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		if f := q.Recipient.Fingerprint(); c.Fingerprint != "" && !strings.EqualFold(strings.TrimSpace(c.Fingerprint), f) {
			return usagef("the request has the fingerprint %s, and not the one that you gave: somebody may have changed its URL; nothing was sent", f)
		}
		a.remark("%s", strings.TrimSuffix(questionText(q), "\n"))
		p, err := c.params(a, q)
		if err != nil {
			return err
		}
		p.Question = q // the answer opens only for what was shown here
		answered, err := b.client.Answer(a.ctx, c.URL, p)
		if err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		if c.JSON {
			return a.printJSON(answered)
		}
		return a.print(fmt.Sprintf("sent, sealed for %s; it can be used until %s\n", q.Recipient.Fingerprint(), localTime(answered.ExpiresAt)))
	})
}

// questionText says who asks for what. A stranger wrote the message.
func questionText(q *kubbi.Question) string {
	rows := []row{
		{"asked by", q.Origin},
		{"message", q.Message},
		{"fingerprint", q.Recipient.Fingerprint()},
		{"expires", localTime(q.ExpiresAt)},
	}
	for _, f := range q.Fields {
		what := "shown to the agent that asks"
		if f.Secret {
			what = "secret"
		}
		if f.Lines {
			what += ", may have several lines"
		}
		rows = append(rows, row{"field", f.Name + " (" + what + ")"})
	}
	if q.Files {
		rows = append(rows, row{"files", fmt.Sprintf("at most %d, %s in all", q.Limits.Files, size(q.Limits.Bytes))})
	}
	return details(rows) + "It is sealed for whoever has that fingerprint: the relay can't read it.\n"
}

// params gathers what the answer holds.
func (c *answerCmd) params(a *app, q *kubbi.Question) (kubbi.AnswerParams, error) {
	if q.Files {
		return c.files(a)
	}
	if c.Name != "" {
		return kubbi.AnswerParams{}, usagef("--name is for a request that asks for files")
	}
	values, err := c.values(a, q.Fields)
	return kubbi.AnswerParams{Values: values}, err
}

// files gathers files.
func (c *answerCmd) files(a *app) (kubbi.AnswerParams, error) {
	paths := c.Values
	if len(paths) == 0 {
		if isTerminal(a.stdin) {
			return kubbi.AnswerParams{}, usagef("files are asked for: give them as arguments after the URL; nothing was sent")
		}
		paths = []string{"-"}
	}
	inputs, err := a.openFiles(paths, c.Name)
	if err != nil {
		return kubbi.AnswerParams{}, err
	}
	sources, err := packageSources(inputs)
	return kubbi.AnswerParams{Sources: sources}, err
}

// values gathers the values of fields: from the arguments, or by asking.
func (c *answerCmd) values(a *app, fields []api.Field) (map[string]string, error) {
	in, terminal := a.stdin.(*os.File)
	terminal = terminal && term.IsTerminal(int(in.Fd()))
	switch {
	case len(c.Values) == 0 && terminal:
		return a.promptFields(in, fields)
	case len(c.Values) == 0, len(c.Values) == 1 && c.Values[0] == "-":
		return a.pipedFields(fields)
	}
	values := map[string]string{}
	piped := false
	for _, arg := range c.Values {
		name, from, ok := strings.Cut(arg, "=")
		at := slices.IndexFunc(fields, func(f api.Field) bool { return f.Name == name })
		switch {
		case !ok || at < 0: // not quoted: it may be a value
			return nil, usagef("an argument after the URL must be NAME=FILE or NAME=-, with the name of a field that is asked for: %s; nothing was sent", fieldList(fields))
		case hasKey(values, name):
			return nil, usagef("%s is given twice; nothing was sent", name)
		case from == "-" && piped:
			return nil, usagef("standard input can be read only once; nothing was sent")
		}
		var data []byte
		var err error
		if from == "-" {
			piped = true
			data, err = a.readStdin()
		} else if data, err = readValue(from); err != nil {
			err = usagef("%s: %w; a value itself does not belong in a command line, where others can read it. Nothing was sent", name, err)
		}
		if err == nil {
			values[name], err = fieldValue(fields[at], data)
		}
		if err != nil {
			return nil, err
		}
	}
	return allFields(values, fields)
}

// pipedFields reads standard input: the value of the only field, or a JSON object.
func (a *app) pipedFields(fields []api.Field) (map[string]string, error) {
	data, err := a.readStdin()
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	if len(fields) == 1 {
		values[fields[0].Name], err = fieldValue(fields[0], data)
		return values, err
	}
	if json.Unmarshal(data, &values) != nil {
		return nil, usagef("several fields are asked for, so standard input must be a JSON object with a text for each: %s; nothing was sent", fieldList(fields))
	}
	for _, f := range fields {
		if v, ok := values[f.Name]; ok {
			if values[f.Name], err = fieldValue(f, []byte(v)); err != nil {
				return nil, err
			}
		}
	}
	return allFields(values, fields)
}

// allFields refuses values that are not those of the fields.
func allFields(values map[string]string, fields []api.Field) (map[string]string, error) {
	for _, f := range fields {
		if !hasKey(values, f.Name) {
			return nil, usagef("the value of %s is missing; nothing was sent", f.Name)
		}
	}
	if len(values) != len(fields) {
		return nil, usagef("only these are asked for: %s; nothing was sent", fieldList(fields))
	}
	return values, nil
}

func hasKey(values map[string]string, name string) bool {
	_, ok := values[name]
	return ok
}

func fieldList(fields []api.Field) string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// readValue reads a value from a file. The error does not hold the file's name, which may be
// a value that was given in its place.
func readValue(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, errors.New("there is no such file")
	case info.IsDir():
		return nil, errors.New("this is a folder, and a value comes from a file in it")
	case !info.Mode().IsRegular():
		return nil, errors.New("this is no file")
	case info.Size() > maxValue:
		return nil, fmt.Errorf("the file is larger than %s", size(maxValue))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.New("the file can't be read")
	}
	return data, nil
}

// fieldValue checks a value. The line end at the end of a value of one line is not a part of
// it.
func fieldValue(f api.Field, data []byte) (string, error) {
	if !f.Lines {
		data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	}
	var fault string
	switch {
	case len(data) == 0:
		fault = "is empty"
	case len(data) > maxValue:
		fault = "is larger than " + size(maxValue)
	case !utf8.Valid(data):
		fault = "is not text in UTF-8"
	case !f.Lines && bytes.ContainsAny(data, "\r\n"):
		fault = "has several lines, and one is asked for"
	}
	if fault != "" {
		return "", usagef("the value of %s %s; nothing was sent", f.Name, fault)
	}
	return string(data), nil
}

// promptFields asks for each field at a terminal. It does not show secrets.
func (a *app) promptFields(in *os.File, fields []api.Field) (map[string]string, error) {
	values := map[string]string{}
	for _, f := range fields {
		hint := "Enter ends it"
		if f.Lines {
			hint = "paste it if it has several lines; " + hint
		}
		if f.Secret {
			hint = "not shown; " + hint
		}
		data, err := a.prompt(in, fmt.Sprintf("%s (%s): ", f.Name, hint), !f.Secret)
		if err != nil {
			return nil, err
		}
		if values[f.Name], err = fieldValue(f, data); err != nil {
			return nil, err
		}
	}
	return values, nil
}
