package kv_test

import (
	"bytes"
	"context"
	"encoding/json"
	"expvar"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// A program that imports expvar serves what it publishes at /debug/vars.
func ExampleStats_MarshalJSON() {
	db, done := openTemporary()
	defer done()
	if _, err := db.Put([]byte("k"), []byte("value")); err != nil {
		panic(err)
	}
	expvar.Publish("walnut", expvar.Func(func() any { return db.Stats() }))

	var served struct {
		Keys          int `json:"keys"`
		CommitSeconds struct {
			Count int     `json:"count"`
			P99   float64 `json:"p99"`
		} `json:"commit_seconds"`
	}
	if err := json.Unmarshal([]byte(expvar.Get("walnut").String()), &served); err != nil {
		panic(err)
	}
	fmt.Println(served.Keys, served.CommitSeconds.Count, served.CommitSeconds.P99 > 0)
	// Output: 1 1 true
}

// In a program that serves metrics, the writer is the response, whose Content-Type is "text/plain; version=0.0.4".
func ExampleStats_WritePrometheus() {
	db, done := openTemporary()
	defer done()
	if _, err := db.Put([]byte("k"), []byte("value")); err != nil {
		panic(err)
	}
	var page bytes.Buffer
	if err := db.Stats().WritePrometheus(&page); err != nil {
		panic(err)
	}
	for line := range strings.Lines(page.String()) {
		if strings.Contains(line, "walnut_keys") || strings.HasPrefix(line, "walnut_group_commits_count") {
			fmt.Print(line)
		}
	}
	// Output:
	// # HELP walnut_keys Pairs that readers see.
	// # TYPE walnut_keys gauge
	// walnut_keys 1
	// walnut_group_commits_count 1
}

// Two stores share a page if one call writes it. A label tells them apart.
func ExampleWritePrometheus() {
	users, done := openTemporary()
	defer done()
	if _, err := users.Put([]byte("ada"), nil); err != nil {
		panic(err)
	}
	var page bytes.Buffer
	err := kv.WritePrometheus(&page,
		kv.LabelledStats{Stats: users.Stats(), Labels: []kv.Label{{Name: "store", Value: "users"}}},
		kv.LabelledStats{Stats: kv.Stats{}, Labels: []kv.Label{{Name: "store", Value: `C:\orders`}}})
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(page.String()) {
		if strings.Contains(line, "walnut_keys") {
			fmt.Print(line)
		}
	}
	// Output:
	// # HELP walnut_keys Pairs that readers see.
	// # TYPE walnut_keys gauge
	// walnut_keys{store="users"} 1
	// walnut_keys{store="C:\\orders"} 0
}

// A logger gets what an operator should know. Here every sync is slow, since the limit is a nanosecond.
func ExampleOptions_logger() {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	messagesOnly := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.LevelKey || a.Key == slog.MessageKey || a.Key == "limit" {
			return a
		}
		return slog.Attr{}
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: messagesOnly}))

	db, err := kv.Open(dir, kv.Options{Logger: logger, SlowSync: time.Nanosecond, LowSpace: -1})
	if err != nil {
		panic(err)
	}
	if _, err := db.Put([]byte("k"), []byte("value")); err != nil {
		panic(err)
	}
	fmt.Println(db.Stats().SlowSyncs > 0, db.Close())
	// Output:
	// level=INFO msg="store opened"
	// level=WARN msg="sync was slow" limit=1ns
	// true <nil>
}

// A follower is a second process that reads; here both stores are in one.
func ExampleOptions_follow() {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	writer, err := kv.Open(dir, kv.Options{})
	if err != nil {
		panic(err)
	}
	defer writer.Close()

	follower, err := kv.Open(dir, kv.Options{ReadOnly: true, Follow: true})
	if err != nil {
		panic(err)
	}
	defer follower.Close()
	commits := follower.Watch(context.Background(), kv.WatchOptions{From: 1})
	if _, err := writer.Put([]byte("fruit/apple"), []byte("red")); err != nil {
		panic(err)
	}
	for commit, err := range commits {
		if err != nil {
			panic(err) // kv.ErrDiverged, for example, where a restore has replaced the store.
		}
		value, err := follower.Get([]byte("fruit/apple"))
		fmt.Printf("%d %s %v, lag %d\n", commit.Offset, value, err, follower.Stats().FollowLag.Commits)
		break
	}
	// Output: 1 red <nil>, lag 0
}
