// Package doctable reads the description of a file format in a document, for tests that compare it with the code: tables of
// fields and of numbers, the dump of a worked example, and the walk through it. So a wrong document fails a test.
//
// Every function ends the test if the document lacks what is asked for. Sections are strings, so that a test can also search
// them itself.
package doctable

import (
	"encoding/hex"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Field is a row of a table of fields: the first byte and the length, in bytes.
type Field struct{ At, Size int }

// Between returns the field that starts at a position and ends before the next field.
func Between(at, next int) Field { return Field{At: at, Size: next - at} }

// The shapes of rows and blocks. Rows may have more cells, which are for people.
var (
	fieldRow  = regexp.MustCompile("(?m)^\\| (\\d+) \\| (\\d+) \\| `(\\w+)` \\|")
	numberRow = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\d+) \\|")
	walkRow   = regexp.MustCompile("(?m)^\\| 0x([0-9a-f]+) \\| `([0-9a-f ]+)` \\|")
	dumpBlock = regexp.MustCompile("(?s)```\n(.*?)```")
)

// Section returns a section of the document at path: the text between a heading of the second rank and the next one.
func Section(t testing.TB, path, heading string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", path, heading)
	}
	part, _, _ := strings.Cut(rest, "\n## ")
	return part
}

// Fields returns the fields in a section's tables by their names. A row has the first byte, the length, and the name.
func Fields(t testing.TB, section string) map[string]Field {
	t.Helper()
	fields := map[string]Field{}
	for _, cells := range rows(t, fieldRow, section) {
		name := cells[3]
		if _, twice := fields[name]; twice {
			t.Fatalf("the field %s comes twice", name)
		}
		fields[name] = Field{At: int(number(t, cells[1], 10)), Size: int(number(t, cells[2], 10))}
	}
	return fields
}

// Numbers returns the numbers in a section's tables by their names. A row has the name, then the number.
func Numbers(t testing.TB, section string) map[string]int64 {
	t.Helper()
	numbers := map[string]int64{}
	for _, cells := range rows(t, numberRow, section) {
		name := cells[1]
		if _, twice := numbers[name]; twice {
			t.Fatalf("the number %s comes twice", name)
		}
		numbers[name] = number(t, cells[2], 10)
	}
	return numbers
}

// Dump returns the bytes of a section's first block of code. A line has a position in hexadecimal, bytes, and text after a
// bar.
func Dump(t testing.TB, section string) []byte {
	t.Helper()
	block := dumpBlock.FindStringSubmatch(section)
	if block == nil {
		t.Fatal("the section has no dump")
	}
	var data []byte
	for line := range strings.Lines(block[1]) {
		before, _, _ := strings.Cut(line, "|")
		cells := strings.Fields(before)
		if len(cells) == 0 {
			continue
		}
		if at := number(t, cells[0], 16); at != int64(len(data)) {
			t.Fatalf("the dump's line at %#x comes after %#x bytes", at, len(data))
		}
		data = append(data, unhex(t, strings.Join(cells[1:], ""))...)
	}
	return data
}

// Walk checks the walk through a section's dump: the dump has the bytes of each row at the row's position, and the rows leave
// nothing out.
func Walk(t testing.TB, section string) {
	t.Helper()
	data, next := Dump(t, section), 0
	for _, cells := range rows(t, walkRow, section) {
		at, want := number(t, cells[1], 16), unhex(t, strings.ReplaceAll(cells[2], " ", ""))
		if at != int64(next) {
			t.Fatalf("the walk goes on at %#x, and not at %#x", at, next)
		}
		if next += len(want); next > len(data) || string(data[at:next]) != string(want) {
			t.Fatalf("the dump has no % x at %#x", want, at)
		}
	}
	if next != len(data) {
		t.Fatalf("the walk ends at %#x, and the dump at %#x", next, len(data))
	}
}

// rows returns the cells of the rows of that shape. A section must have at least one.
func rows(t testing.TB, shape *regexp.Regexp, section string) [][]string {
	t.Helper()
	found := shape.FindAllStringSubmatch(section, -1)
	if found == nil {
		t.Fatalf("the section has no row like %s", shape)
	}
	return found
}

func number(t testing.TB, digits string, base int) int64 {
	t.Helper()
	n, err := strconv.ParseInt(digits, base, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func unhex(t testing.TB, digits string) []byte {
	t.Helper()
	data, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
