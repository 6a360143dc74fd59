package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// asUsed checks the arguments of a command against its usage line, which names each of them. An error names the one that is
// missing, or the first that is too many.
func asUsed(cmd *cobra.Command, args []string) error {
	names := strings.Fields(cmd.Use)[1:]
	missing := slices.DeleteFunc(slices.Clone(names[min(len(args), len(names)):]), func(name string) bool { return name[0] == '[' })
	switch {
	case len(missing) > 0:
		return fmt.Errorf("missing %s; usage: %s", strings.Join(missing, " and "), cmd.UseLine())
	case len(args) > len(names):
		return fmt.Errorf("unexpected argument %q; usage: %s", args[len(names)], cmd.UseLine())
	case len(cmd.ValidArgs) > 0 && !slices.Contains(cmd.ValidArgs, args[0]):
		return fmt.Errorf("unknown argument %q; usage: %s", args[0], cmd.UseLine())
	}
	return nil
}

// noSuchCommand is the argument check of a command that only groups others.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case args[0] == "":
		return errors.New("the command is empty") // Every command begins with that.
	}
	cmd.SuggestionsMinimumDistance = 2 // The most edits between a word and a suggestion.
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		return fmt.Errorf("no command %q; did you mean %s?", args[0], strings.Join(like, " or "))
	}
	return fmt.Errorf("no command %q", args[0])
}

// whichCommand is the RunE of a command that only groups others. Its error lists them.
func whichCommand(cmd *cobra.Command, _ []string) error {
	var names []string
	for _, child := range cmd.Commands() {
		if !child.Hidden {
			names = append(names, child.Name())
		}
	}
	path := strings.TrimPrefix(cmd.CommandPath()+" command", "kvctl ")
	return fmt.Errorf("which %s? There are %s", path, strings.Join(names, ", "))
}

// flagError says in our words what the parser of flags found.
func flagError(_ *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var noValue *pflag.ValueRequiredError
	var syntax *pflag.InvalidSyntaxError
	var wrong *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("there is no flag %s", dashed(unknown.GetSpecifiedName(), unknown.GetSpecifiedShortnames()))
	case errors.As(err, &noValue):
		return fmt.Errorf("%s: a value is missing", dashed(noValue.GetSpecifiedName(), noValue.GetSpecifiedShortnames()))
	case errors.As(err, &syntax):
		return fmt.Errorf("%q is no flag", syntax.GetSpecifiedFlag())
	case errors.As(err, &wrong):
		return fmt.Errorf("--%s %s: %w", wrong.GetFlag().Name, shown(wrong.GetValue()), wantedValue(wrong.GetValue(), wrong.Unwrap()))
	}
	return err
}

// dashed returns a flag as it stands on the command line. shorthands is the word that it is a letter of, if it is one.
func dashed(name, shorthands string) string {
	if shorthands != "" {
		return fmt.Sprintf("-%s", name)
	}
	return "--" + name
}

// timeSpan matches what Go's parser takes for a time span, unless that is too long.
var timeSpan = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`)

// wantedValue says what a flag wants in place of what a parser of Go's library says.
func wantedValue(value string, err error) error {
	var number *strconv.NumError
	switch {
	case strings.HasPrefix(err.Error(), "time: ") && timeSpan.MatchString(value):
		return errors.New("the time span is out of range")
	case strings.HasPrefix(err.Error(), "time: "):
		return errors.New("want a time span such as 90s or 10m")
	case !errors.As(err, &number):
		return err
	case number.Func == "ParseBool":
		return errors.New("want true or false")
	case errors.Is(number, strconv.ErrRange):
		return errors.New("the number is out of range")
	}
	return errors.New("want a whole number")
}
