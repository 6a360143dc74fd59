package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newCheck(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Read every byte of the store and list what is wrong",
		Long: `check reads the whole directory, and changes nothing. Each finding is a line:
damage, which makes the exit code 4, or a notice of something that the next
opening mends or leaves alone, such as an index to rebuild or a foreign file.
The last line is the summary. What to do about damage, wal repair says.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store check
  kvctl --dir store check -o json`,
		Args: asUsed,
		RunE: a.starts(func([]string) error { return a.check("check", "") }),
	}
}

// violationJSON is a violation as JSON output has it.
type violationJSON struct {
	Kind     string `json:"kind"`
	Damage   bool   `json:"damage"`
	Path     string `json:"path"`
	Position int64  `json:"position"`
	Offset   uint64 `json:"offset"`
	Problem  string `json:"problem"`
}

// check lists the violations in a part of the store's directory, or in all of it if part is "".
func (a *app) check(command, part string) error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	// The violations include everything that the log would say.
	opts, err := a.options(forReading, io.Discard)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	violations, err := kv.Check(ctx, dir, opts)
	if err != nil {
		return whyEnded(ctx, err)
	}
	damaged, notices := 0, 0
	for _, violation := range violations {
		if part != "" && isOutside(violation.Path, filepath.Join(dir, part)) {
			continue
		}
		if violation.Damage {
			damaged++
		} else {
			notices++
		}
		if err := a.printViolation(violation); err != nil {
			return err
		}
	}
	if err := a.printCheckSummary(dir, damaged, notices); err != nil || damaged == 0 {
		return err
	}
	return damageFoundError{fmt.Sprintf("%s: %s; %s", command, damagedPlaces(dir, damaged), a.planRepair())}
}

// isOutside reports whether path is known to lie outside of dir, each of which may be relative. Damage without a path may lie
// anywhere, so it is not outside.
func isOutside(path, dir string) bool {
	if path == "" {
		return false
	}
	path, pathErr := filepath.Abs(path)
	dir, dirErr := filepath.Abs(dir)
	if errors.Join(pathErr, dirErr) != nil {
		return false
	}
	relative, err := filepath.Rel(dir, path)
	return err == nil && (relative == ".." || strings.HasPrefix(relative, ".."+string(filepath.Separator)))
}

func (a *app) printViolation(v kv.Violation) error {
	if a.wantsJSON() {
		return a.printJSON(violationJSON{kindViolation, v.Damage, v.Path, v.Position, v.Offset, v.Problem})
	}
	kind := "notice"
	if v.Damage {
		kind = "damage"
	}
	where := v.Path
	if v.Position > 0 || v.Damage {
		where += fmt.Sprintf(" at position %d", v.Position)
	}
	if v.Offset > 0 {
		where += fmt.Sprintf(", offset %d", v.Offset)
	}
	_, err := fmt.Fprintf(a.stdout, "%s  %s: %s\n", kind, where, v.Problem)
	return err
}

func (a *app) printCheckSummary(dir string, damaged, notices int) error {
	if a.wantsJSON() {
		return a.printJSON(struct {
			Kind    string `json:"kind"`
			Dir     string `json:"dir"`
			Damaged int    `json:"damaged"`
			Notices int    `json:"notices"`
		}{kindCheck, dir, damaged, notices})
	}
	_, err := fmt.Fprintf(a.stdout, "%s, %d %s\n", damagedPlaces(dir, damaged), notices, plural(notices, "notice"))
	return err
}

func damagedPlaces(dir string, damaged int) string {
	if damaged == 0 {
		return dir + ": no damage"
	}
	return fmt.Sprintf("%s: damaged in %d %s", dir, damaged, plural(damaged, "place"))
}

func plural(count int, noun string) string {
	stem, isEntry := strings.CutSuffix(noun, "ry")
	switch {
	case count == 1:
		return noun
	case isEntry:
		return stem + "ries"
	}
	return noun + "s"
}
