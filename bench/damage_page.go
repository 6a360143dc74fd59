package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kind is how a look at damage ended. The last one in the list counts where several fit.
type kind struct{ name, about string }

var (
	kindRight   = kind{"right", "it opened without a word, and every acknowledged pair was read as it was written"}
	kindHealed  = kind{"healed", "the same, and it said that something was wrong"}
	kindError   = kind{"error", "it opened, and reading some pairs returned an error; the others were right"}
	kindPanic   = kind{"panic", "it opened, and reading some pairs panicked, or faulted in mapped memory"}
	kindRefused = kind{"refused", "opening returned an error"}
	kindSaid    = kind{"lost, said so", "it opened and said that something was wrong; acknowledged pairs are missing"}
	kindBreaks  = kind{"**breaks later**", "it opened and took one more write, and after that process was killed it doesn't open again, or lacks that write or a pair that was there"}
	kindDied    = kind{"**died**", "the process ended by itself, such as by a panic in the background or in opening"}
	kindHung    = kind{"**hung**", "it was not done after 10 s"}
	kindLost    = kind{"**lost silently**", "it opened without a word, and acknowledged pairs are missing: reading says that there are none. Where that is documented, the engine's section says so"}
	kindWrong   = kind{"**wrong**", "it returned a value that was never written for that key, or a pair that nothing wrote, without an error"}

	kinds = []kind{
		kindRight, kindHealed, kindError, kindPanic, kindRefused, kindSaid, kindBreaks, kindDied, kindHung, kindLost, kindWrong,
	}
)

// judge returns the kind of an outcome.
func (s *scene) judge(o outcome) kind {
	said := len(s.unusual(o.first)) > 0
	switch seen := o.first; {
	case seen.Wrong > 0 || seen.Foreign > 0:
		return kindWrong
	case seen.Missing > 0 && !said:
		return kindLost
	case seen.Hung:
		return kindHung
	case seen.Died != "":
		return kindDied
	case o.breaks() != "":
		return kindBreaks
	case seen.Missing > 0:
		return kindSaid
	case seen.Refused != "":
		return kindRefused
	case seen.Panicked > 0:
		return kindPanic
	case seen.Failed > 0:
		return kindError
	case said:
		return kindHealed
	}
	return kindRight
}

// breaks says what is wrong after a write and a kill that was right before.
func (o outcome) breaks() string {
	switch then := o.then; {
	case !o.looked:
		return ""
	case !then.Opened:
		return "does not open after one more write: " + then.Refused + then.Died
	case then.Hung || then.Died != "":
		return "can't be read after one more write: " + then.Died
	case then.LaterLost:
		return "lacks what was written after it was opened"
	case then.Right < o.first.Right:
		return fmt.Sprintf("has %d pairs fewer after one more write", o.first.Right-then.Right)
	}
	return ""
}

var changing = regexp.MustCompile(`0x[0-9a-f]+|"(?:[^"\\]|\\.)*"|[0-9][0-9a-f.]*(?:[nµm]?s\b|[KMG]?i?B\b)?`)

// pattern is a message without the numbers and names in it, which change from one opening to the next.
func pattern(message string) string { return changing.ReplaceAllString(message, "#") }

// unusual returns what the engine says that it doesn't say when nothing is damaged.
func (s *scene) unusual(seen look) (said []string) {
	for _, line := range seen.Said {
		if !s.usual[pattern(line)] {
			said = append(said, line)
		}
	}
	return said
}

// quote returns what there is to quote of an outcome.
func (s *scene) quote(o outcome) string {
	said := cmp.Or(o.first.Refused, o.first.Died)
	if said == "" {
		said = strings.Join(s.unusual(o.first), " / ")
	}
	var parts []string
	for _, part := range []string{said, o.first.FirstError, o.breaks(), o.first.LaterError} {
		part = strings.ReplaceAll(part, s.dir+string(filepath.Separator), "")
		parts = appendNew(parts, strings.Join(strings.Fields(part), " "))
	}
	return strings.Join(parts, "; ")
}

// text returns the page.
func (m *matrix) text() string {
	var page strings.Builder
	fmt.Fprintf(&page, "# What damage does, measured\n\n%s Seed %d.\n\n", m.environment, m.seed)
	fmt.Fprintf(&page, introduction, m.pairs, damageValue, m.places)
	headings := []string{"damage"}
	for _, s := range m.scenes {
		headings = append(headings, s.name)
	}
	var rows [][]string
	for _, d := range damages {
		cells := []string{d.title}
		for _, s := range m.scenes {
			cells = append(cells, s.cell(d))
		}
		rows = append(rows, cells)
	}
	table(&page, headings, rows)
	page.WriteString("\n## What the words mean\n\nThe worst that fits, which is the last one in this list:\n\n")
	for _, k := range kinds {
		fmt.Fprintf(&page, "- %s: %s.\n", k.name, k.about)
	}
	page.WriteString(explanation)
	for _, s := range m.scenes {
		s.details(&page)
	}
	return page.String()
}

// cell counts the kinds of outcomes.
func (s *scene) cell(d damage) string {
	var parts []string
	for _, k := range kinds {
		some := s.ofKind(d, k)
		if len(some) == 0 {
			continue
		}
		part := k.name
		if d.repeated {
			part += fmt.Sprintf(" %d", len(some))
		}
		if most := fromTo(some, func(l look) uint64 { return l.Missing }); most != "0" {
			part += " (" + most + " missing)"
		}
		parts = append(parts, part)
	}
	return cmp.Or(strings.Join(parts, ", "), "n/a")
}

func (s *scene) ofKind(d damage, k kind) (some []outcome) {
	for _, o := range s.outcomes[d.id] {
		if o.kind == k {
			some = append(some, o)
		}
	}
	return some
}

// fromTo returns the least and the greatest of a count.
func fromTo(some []outcome, count func(look) uint64) string {
	var counts []uint64
	for _, o := range some {
		counts = append(counts, count(o.first))
	}
	least, most := slices.Min(counts), slices.Max(counts)
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

// details writes a section about an engine.
func (s *scene) details(page *strings.Builder) {
	fmt.Fprintf(page, "\n## %s\n\n", s.name)
	if version := s.peer.version(); version != "" {
		fmt.Fprintf(page, "%s %s. ", s.peer.Module, version)
	}
	fmt.Fprintf(page, "%s %s\n\n", s.settings, s.notes)
	headings := []string{"damage", "outcome", "times", "right", "wrong", "missing", "errors", "panics", "own check", "where, the first time", "what it says then"}
	var rows [][]string
	for _, d := range damages {
		for _, k := range kinds {
			if some := s.ofKind(d, k); len(some) > 0 {
				rows = append(rows, s.detail(d, k, some))
			}
		}
	}
	table(page, headings, rows)
	s.toolDetails(page)
}

// detail is the row of the outcomes of one kind.
func (s *scene) detail(d damage, k kind, some []outcome) []string {
	found := 0
	for _, o := range some {
		if o.first.Check != "" && !s.usual[pattern(o.first.Check)] {
			found++
		}
	}
	cells := []string{d.title, k.name, fmt.Sprint(len(some))}
	for _, count := range []func(look) uint64{
		func(l look) uint64 { return l.Right },
		func(l look) uint64 { return l.Wrong + l.Foreign },
		func(l look) uint64 { return l.Missing },
		func(l look) uint64 { return l.Failed },
		func(l look) uint64 { return l.Panicked },
	} {
		cells = append(cells, fromTo(some, count))
	}
	check := "–"
	if some[0].first.Checked {
		check = fmt.Sprintf("finds %d of %d", found, len(some))
	}
	return append(cells, check, some[0].what, quoted(shortened(some[0].words)))
}

// quotedBytes is how much of an engine's message the page has.
const quotedBytes = 300

func shortened(text string) string {
	if len(text) > quotedBytes {
		return strings.ToValidUTF8(text[:quotedBytes], "") + "…"
	}
	return text
}

func quoted(text string) string {
	if text == "" {
		return "nothing"
	}
	return "`" + strings.NewReplacer("|", "¦", "`", "'").Replace(text) + "`"
}

// toolDetails says what the engine's tool says of damage.
func (s *scene) toolDetails(page *strings.Builder) {
	var refused, named int
	var examples []string
	for _, d := range damages {
		first := true
		for _, o := range s.outcomes[d.id] {
			if o.tool == "" {
				continue
			}
			refused++
			if strings.Contains(o.tool, "kvctl --dir DIR ") {
				named++
			}
			if first {
				examples = append(examples, fmt.Sprintf("- %s: %s\n", d.title, quoted(o.tool)))
				first = false
			}
		}
	}
	if refused > 0 {
		fmt.Fprintf(page, "\n`kvctl --dir DIR put key value` was refused %d times, and named the command to run next in %d of them. The first of each damage:\n\n%s",
			refused, named, strings.Join(examples, ""))
	}
}
