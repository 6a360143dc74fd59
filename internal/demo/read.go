package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// importFile is the data set's name in the scratch directory, short enough to be read in a command.
const importFile = "UnicodeData.tsv.gz"

// importAll fills the store "full" with the whole set.
func importAll(s *stage, set *dataSet) error {
	s.begin("A real data set goes in")
	s.tell("Unicode's list of its characters, %d rows. A row's key is its code point in hexadecimal, its value the row "+
		"as JSON. A thousand rows are one commit, and kvctl goes on only when that commit is durable: on disk, past any "+
		"cache that a power cut could empty.", len(set.keys))
	text, err := os.ReadFile(set.file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.scratch, importFile), text, 0o600); err != nil {
		return err
	}
	if _, err := s.mustShow("full", "import", "--key", "code", importFile); err != nil {
		return err
	}
	stored, err := s.mustShow("full", "scan", "--count")
	if err != nil {
		return err
	}
	return s.claim(isNumber(stored, len(set.keys)), "the store holds all %d rows.", len(set.keys))
}

// readBack reads by key, prefix and range, and counts the same in the file.
func readBack(s *stage, set *dataSet) error {
	s.begin("It comes back by key, by prefix and by range, in order")
	value, err := s.mustShow("full", "get", faceKey)
	if err != nil {
		return err
	}
	if err := s.claim(strings.Contains(value, `"`+faceName+`"`), "key %s is the %s.", faceKey, faceName); err != nil {
		return err
	}
	reads := []struct {
		args   []string
		inside func(key string) bool
	}{
		{
			[]string{"scan", "--keys-only", "--prefix", "1F60"},
			func(key string) bool { return strings.HasPrefix(key, "1F60") },
		},
		{
			[]string{"scan", "--keys-only", "--start", "0041", "--end", "005B", "--reverse"},
			func(key string) bool { return "0041" <= key && key < "005B" },
		},
	}
	for _, read := range reads {
		if err := readSome(s, set, read.args, read.inside); err != nil {
			return err
		}
	}
	s.tell("Each of these commands read the log from its first byte, checked every checksum, and kept what it was asked for "+
		"of the %d pairs. None of them took a lock or wrote a byte.", len(set.keys))
	return nil
}

func readSome(s *stage, set *dataSet, args []string, inside func(key string) bool) error {
	listed, err := s.mustShow("full", args...)
	if err != nil {
		return err
	}
	want := set.count(inside)
	same := len(strings.Fields(listed)) == want
	for key := range strings.FieldsSeq(listed) {
		same = same && inside(key)
	}
	return s.claim(same, "these are the %d keys that the file has there.", want)
}

// isNumber reports whether a command printed just this number.
func isNumber(printed string, want int) bool {
	got, err := strconv.Atoi(strings.TrimSpace(printed))
	return err == nil && got == want
}

// pairs exports a store; the lines are by key.
func pairs(s *stage, dir string) (map[string]string, error) {
	got, err := s.quiet(dir, "export")
	if err != nil {
		return nil, err
	}
	if got.code != 0 {
		return nil, fmt.Errorf("kvctl --dir %s export: exit code %d: %s", dir, got.code, got.stderr)
	}
	byKey := map[string]string{}
	for line := range strings.Lines(got.stdout) {
		var pair struct{ Key string }
		if err := json.Unmarshal([]byte(line), &pair); err != nil || pair.Key == "" {
			return nil, fmt.Errorf("export gave a line without a key: %s", line)
		}
		byKey[pair.Key] = line
	}
	return byKey, nil
}
