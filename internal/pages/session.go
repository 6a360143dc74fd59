package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// session is the run of a page's commands.
type session struct {
	ctx  context.Context
	work string // Where the commands run.
	env  []string
}

const prompt = "$ "

var (
	blockPattern  = regexp.MustCompile("(?ms)^```(console|sh)\n(.*?)^```$")
	scriptPattern = regexp.MustCompile(`\A#!.*\n# ([a-z-]+\.sh) `)
)

// rewrite returns a page with what its commands print now.
func (s *session) rewrite(page string) (string, error) {
	var failed error
	text := blockPattern.ReplaceAllStringFunc(page, func(block string) string {
		match := blockPattern.FindStringSubmatch(block)
		body, err := match[2], error(nil)
		switch {
		case failed != nil:
		case match[1] == "console":
			body, err = s.console(body)
		default:
			err = s.script(body)
		}
		failed = errors.Join(failed, err)
		return "```" + match[1] + "\n" + body + "```"
	})
	return text, failed
}

// script makes the file that a block holds, if it is a script.
func (s *session) script(body string) error {
	name := scriptPattern.FindStringSubmatch(body)
	if name == nil {
		return nil
	}
	return os.WriteFile(filepath.Join(s.work, name[1]), []byte(body), 0o700)
}

// console runs the commands of a block. Where a command prints what it did before, but for times and the like, that stays.
func (s *session) console(body string) (string, error) {
	var out strings.Builder
	steps, err := split(body)
	if err != nil {
		return body, err
	}
	for _, one := range steps {
		printed, err := s.run(strings.TrimPrefix(one.command, prompt))
		if err != nil {
			return body, fmt.Errorf("%s: %w", one.command, err)
		}
		if normal(printed) == normal(one.printed) {
			printed = one.printed
		}
		out.WriteString(one.command + printed)
	}
	return out.String(), nil
}

// step is a command with the prompt, and what it printed.
type step struct{ command, printed string }

// split takes a block apart. A command goes on in the next line where it ends with a backslash.
func split(body string) ([]step, error) {
	var steps []step
	goesOn := false
	for line := range strings.Lines(body) {
		switch {
		case goesOn:
			steps[len(steps)-1].command += line
		case strings.HasPrefix(line, prompt):
			steps = append(steps, step{command: line})
		case len(steps) == 0:
			return nil, fmt.Errorf("the block begins with no command: %q", line)
		default:
			steps[len(steps)-1].printed += line
			continue
		}
		goesOn = strings.HasSuffix(line, "\\\n")
	}
	return steps, nil
}

// run returns what a command prints, both outputs together, and its exit code if it isn't 0.
func (s *session) run(command string) (string, error) {
	shell := exec.CommandContext(s.ctx, "sh", "-c", command)
	shell.Dir, shell.Env = s.work, s.env
	out, err := shell.CombinedOutput()
	text := strings.ReplaceAll(string(out), s.work+"/", "")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && s.ctx.Err() == nil {
		return fmt.Sprintf("%s[exit code %d]\n", text, exit.ExitCode()), nil
	}
	return text, err
}

// varying finds what differs from run to run, each with what it becomes where two runs are compared.
var varying = []struct {
	pattern *regexp.Regexp
	becomes string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:?\d\d:?\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ns|µs|ms|s)\b`), "DURATION"},
	{regexp.MustCompile(`free bytes +\d+ \([^)]*\)`), "free bytes N"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "ID"},
	{regexp.MustCompile(`(quarantine/\d+\.store\.\d+)\.[0-9a-f]{8}\b`), "$1.SUM"},
	{regexp.MustCompile(`process \d+`), "process N"},
	{regexp.MustCompile(` +`), " "}, // Columns are as wide as what is in them.
}

func normal(printed string) string {
	for _, one := range varying {
		printed = one.pattern.ReplaceAllString(printed, one.becomes)
	}
	return printed
}
