// Command search finds documents of a store that another program writes, by their words. It follows that store and keeps an
// index of it in a separate store:
//
//	kvctl --dir documents put moby-dick 'Call me Ishmael.'
//	echo ishmael | go run ./examples/search -documents documents -index index
//
// It reads words, one a line, and prints the keys of the documents that have them.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/walnutkv/walnut/kv"
)

func main() {
	documents := flag.String("documents", "documents", "the directory of the store with the documents")
	dir := flag.String("index", "index", "the directory of the index")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, *documents, *dir, os.Stdin, os.Stdout)
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "search:", err)
		os.Exit(1)
	}
}

// run answers each line of the input with what the documents' store held when the line came, or later.
func run(ctx context.Context, documentsDir, indexDir string, in io.Reader, out io.Writer) (err error) {
	documents, err := kv.OpenContext(ctx, documentsDir, kv.Options{ReadOnly: true, Follow: true, Logger: slog.Default()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, documents.Close()) }()
	db, err := kv.OpenContext(ctx, indexDir, kv.Options{Logger: slog.Default()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	x := &index{db}

	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cancel(x.follow(ctx, documents))
	}()
	err = x.answer(ctx, documents, in, out)
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause // Following ended, and that ended the answers.
	}
	cancel(context.Canceled)
	<-ended // The stores are closed after their last use.
	return err
}

// answer reads in another goroutine, since nothing ends a read of standard input but a line. Once ctx is done it waits for
// no line.
func (x *index) answer(ctx context.Context, documents *kv.DB, in io.Reader, out io.Writer) error {
	lines, ended := make(chan string), make(chan error, 1)
	go func() {
		scanner := bufio.NewScanner(in)
		for scanner.Scan() && ctx.Err() == nil {
			select {
			case lines <- strings.TrimSpace(scanner.Text()):
			case <-ctx.Done():
			}
		}
		ended <- scanner.Err()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return err
		case word := <-lines:
			if err := x.answerOne(ctx, documents, word, out); err != nil {
				return err
			}
		}
	}
}

func (x *index) answerOne(ctx context.Context, documents *kv.DB, word string, out io.Writer) error {
	if err := x.reach(ctx, documents.Offset()); err != nil {
		return err
	}
	found, err := x.find(word)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: %s\n", word, strings.Join(found, " "))
	return err
}

// reach waits until the index shows a commit of the documents. It looks again after each commit of the index.
func (x *index) reach(ctx context.Context, offset uint64) error {
	for seen := x.db.Offset(); ; {
		at, built, err := x.offset()
		if err != nil {
			return err
		}
		if built && at >= offset {
			return nil
		}
		for commit, err := range x.db.Watch(ctx, kv.WatchOptions{From: seen + 1}) {
			if err != nil {
				return err
			}
			seen = commit.Offset
			break
		}
	}
}
