package doctable

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const document = "# A format\n" + `
## A head

| at | bytes | field | what it is |
|---|---|---|---|
| 0 | 4 | ` + "`magic`" + ` | what it starts with |
| 4 | 2 | ` + "`version`" + ` | 1 |
| 6 |  | payload | the rest |

| name | number | what it is |
|---|---|---|
| ` + "`first`" + ` | 1 | the first kind |
| ` + "`limit`" + ` | 4096 | in bytes |

### A part of it

With its own words.

## An example

` + "```" + `
00000000  57 41 4c 4e  01 00  |WALN..|
00000006  ff                  |.|
` + "```" + `

| at | bytes | what it is |
|---|---|---|
| 0x00 | ` + "`57 41 4c 4e`" + ` | the magic |
| 0x04 | ` + "`01 00`" + ` | the version |
| 0x06 | ` + "`ff`" + ` | the payload |
`

// section returns a section of document, read from a file.
func section(t testing.TB, heading string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "format.md")
	require.NoError(t, os.WriteFile(path, []byte(document), 0o600))
	return Section(t, path, heading)
}

func TestASectionEndsWhereTheNextOneOfItsRankBegins(t *testing.T) {
	head := section(t, "A head")
	require.Contains(t, head, "With its own words.")
	require.NotContains(t, head, "WALN")
	require.Contains(t, section(t, "An example"), "| 0x06 |", "the last section ends with the document")
}

func TestFieldsAreTheRowsWithAPlaceALengthAndAName(t *testing.T) {
	require.Equal(t, map[string]Field{"magic": Between(0, 4), "version": {At: 4, Size: 2}}, Fields(t, section(t, "A head")))
}

func TestNumbersAreTheRowsWithANameAndANumber(t *testing.T) {
	require.Equal(t, map[string]int64{"first": 1, "limit": 4096}, Numbers(t, section(t, "A head")))
}

func TestADumpIsItsBytes(t *testing.T) {
	require.Equal(t, []byte("WALN\x01\x00\xff"), Dump(t, section(t, "An example")))
}

func TestAWalkThatIsRightPasses(t *testing.T) { Walk(t, section(t, "An example")) }

func TestADocumentThatIsWrongFailsTheTest(t *testing.T) {
	const dump = "```\n00 57 41\n```\n"
	cases := []struct {
		sentence string
		read     func(t testing.TB)
		want     string
	}{
		{"no file", func(t testing.TB) { Section(t, "no.md", "A head") }, "no.md"},
		{"no such section", func(t testing.TB) { section(t, "A tail") }, `no section "A tail"`},
		{"a heading of a lower rank is no section", func(t testing.TB) { section(t, "A part of it") }, "no section"},
		{"no table of fields", func(t testing.TB) { Fields(t, "text") }, "no row"},
		{"a field that comes twice", func(t testing.TB) { Fields(t, "| 0 | 4 | `a` |\n| 4 | 4 | `a` |") }, "the field a comes twice"},
		{"a field that lies beyond any file", func(t testing.TB) { Fields(t, "| 9999999999999999999 | 4 | `a` |") }, "out of range"},
		{"no table of numbers", func(t testing.TB) { Numbers(t, "text") }, "no row"},
		{"a number that comes twice", func(t testing.TB) { Numbers(t, "| `a` | 1 |\n| `a` | 1 |") }, "the number a comes twice"},
		{"no dump", func(t testing.TB) { Dump(t, "text") }, "no dump"},
		{"a dump with a gap", func(t testing.TB) { Dump(t, "```\n00 57\n02 41\n```") }, "0x2 comes after 0x1"},
		{"a dump with half a byte", func(t testing.TB) { Dump(t, "```\n00 57 4\n```") }, "odd length"},
		{"no walk", func(t testing.TB) { Walk(t, dump) }, "no row"},
		{"a walk that skips a byte", func(t testing.TB) { Walk(t, dump+"| 0x01 | `41` |") }, "at 0x1, and not at 0x0"},
		{"a walk with another byte", func(t testing.TB) { Walk(t, dump+"| 0x00 | `57 42` |") }, "no 57 42 at 0x0"},
		{"a walk beyond the end", func(t testing.TB) { Walk(t, dump+"| 0x00 | `57 41 00` |") }, "no 57 41 00 at 0x0"},
		{"a walk that ends too soon", func(t testing.TB) { Walk(t, dump+"| 0x00 | `57` |") }, "ends at 0x1, and the dump at 0x2"},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			require.Contains(t, failure(t, c.read), c.want)
		})
	}
}

// failing is a test that records why it fails.
type failing struct {
	testing.TB
	why string
}

// stopped is the value of the panic by which Fatal doesn't return.
type stopped struct{}

func (f *failing) Fatal(args ...any) {
	f.why = fmt.Sprint(args...)
	panic(stopped{})
}

func (f *failing) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

// failure returns why a test that does this fails, or "" if it passes.
func failure(t *testing.T, do func(t testing.TB)) (why string) {
	f := &failing{TB: t}
	defer func() {
		if thrown := recover(); thrown != nil && thrown != (stopped{}) {
			panic(thrown)
		}
		why = f.why
	}()
	do(f)
	return ""
}
