package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// recorded writes a file as -out does.
func recorded(t *testing.T, name string, e environment, measurements ...[]Measurement) string {
	t.Helper()
	var content bytes.Buffer
	require.NoError(t, writeHeading(&content, e))
	for _, some := range measurements {
		for _, m := range some {
			require.NoError(t, json.NewEncoder(&content).Encode(m))
		}
	}
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content.Bytes(), 0o600))
	return path
}

// again calls the program for files that are there.
func again(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	var out, progress bytes.Buffer
	err := compare(context.Background(), arguments, &out, &progress)
	require.Empty(t, progress.String(), "nothing is measured")
	return out.String(), err
}

func TestFromFilesComesTheSamePage(t *testing.T) {
	where := environment{Processor: "Abacus 9", Cores: 3, Command: "walnut-bench -rounds 2"}
	all := append(made("walnut", 300, 260), made("pebble", 100)...)
	for i := range all {
		all[i].origin = &where
	}
	var want strings.Builder
	require.NoError(t, newReport(peers, all).write(&want, ".", nil))
	page, err := again(t, "-from", recorded(t, "a.jsonl", where, all))
	require.NoError(t, err)
	require.Equal(t, want.String(), page)
	require.Contains(t, page, "Abacus 9, 3 cores")
}

func TestFromSeveralFilesComesOnePage(t *testing.T) {
	first := recorded(t, "a.jsonl", environment{Processor: "Abacus 9"}, made("walnut", 300))
	second := recorded(t, "b.jsonl", environment{Processor: "Slide Rule 4"}, made("pebble", 100))
	page, err := again(t, "-from", first+","+second, "-about", "On a quiet night.")
	require.NoError(t, err)
	require.Contains(t, page, "| 300 | pebble 100 | 3.00 |")
	for _, want := range []string{"Abacus 9", "Slide Rule 4", "Several runs are joined here", "\nOn a quiet night.\n"} {
		require.Contains(t, page, want)
	}
}

func TestFromFilesThatWerePutBehindEachOther(t *testing.T) {
	var content []byte
	for _, path := range []string{
		recorded(t, "a.jsonl", environment{Processor: "Abacus 9"}, made("walnut", 300)),
		recorded(t, "b.jsonl", environment{Processor: "Slide Rule 4"}, made("pebble", 100)),
	} {
		part, err := os.ReadFile(path)
		require.NoError(t, err)
		content = append(content, part...)
	}
	all, err := parseMeasurements(content)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, []string{"Abacus 9", "Slide Rule 4"}, []string{all[0].origin.Processor, all[1].origin.Processor})
}

func TestFromAFileWithoutAHeadingNothingIsKnownOfTheMachine(t *testing.T) {
	all, err := parseMeasurements([]byte(`{"workload":"W1/durable","goroutines":1,"peer":"walnut","figure":5,"unit":"ops/s"}`))
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Contains(t, all[0].origin.String(), "unknown, unknown cores, memory unknown")
}

func TestFromWrongFilesComesAComplaint(t *testing.T) {
	for _, test := range []struct{ about, content, complaint string }{
		{"an empty file", "", "there are none"},
		{"nothing but a heading", `{"environment":{"cores":2}}`, "there are none"},
		{"a line that was cut", `{"environment":{"cores":2}}` + "\n" + `{"workload":"W1`, "line 2: "},
		{"another kind of line", `{"name":"Walnut"}`, "line 1 has neither"},
	} {
		path := filepath.Join(t.TempDir(), "a.jsonl")
		require.NoError(t, os.WriteFile(path, []byte(test.content), 0o600))
		_, err := again(t, "-from", path)
		require.ErrorContains(t, err, test.complaint, test.about)
		require.ErrorContains(t, err, path, test.about)
	}
	_, err := again(t, "-from", "/nowhere/at/all.jsonl")
	require.ErrorContains(t, err, "no such file")
}

func TestFromFilesComePictures(t *testing.T) {
	dir := t.TempDir()
	path := recorded(t, "a.jsonl", environment{Processor: "Abacus 9"}, durablePuts("walnut", 10, 80), durablePuts("pebble", 8, 50))
	page := filepath.Join(dir, "docs", "page.md")
	require.NoError(t, os.Mkdir(filepath.Dir(page), 0o700))
	_, err := again(t, "-from", path, "-markdown", page, "-pictures", filepath.Join(dir, "docs", "pictures"))
	require.NoError(t, err)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(text), "![Durable puts by goroutines (W1)](pictures/throughput-by-goroutines.svg)")
	files, err := os.ReadDir(filepath.Join(dir, "docs", "pictures"))
	require.NoError(t, err)
	names := []string{}
	for _, file := range files {
		names = append(names, file.Name())
	}
	require.Equal(t, []string{"latency-w1-16.svg", "latency-w1-64.svg", "throughput-by-goroutines.svg"}, names,
		"a picture without a line is not written")
}
