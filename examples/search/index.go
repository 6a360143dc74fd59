package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/walnutkv/walnut/kv"
)

// What the index holds.
var (
	offsetKey  = []byte("offset") // The last commit of the documents that the index shows.
	textPrefix = []byte("text/")  // Then a document's key; the value is its words.
	wordPrefix = []byte("word/")  // Then a word, a zero byte, and the key of a document that has it.
)

const (
	maxWord      = 100     // Bytes; longer words can't be searched for.
	rebuildBatch = 1 << 20 // Bytes of documents after which a commit of a rebuild ends.
)

// index finds documents by their words. It is a store itself, fed by the changes of the documents' store.
//
// Invariant: a commit that changes the index also says up to which commit of the documents it goes. So the index may stop at
// any instant, and goes on at the next commit, without a gap or a repeat. While it is being rebuilt it has no offset.
type index struct{ db *kv.DB }

// words returns the words of a text in lower case, each once.
func words(text []byte) []string {
	found := strings.FieldsFunc(strings.ToLower(string(text)), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	found = slices.DeleteFunc(found, func(word string) bool { return len(word) > maxWord })
	slices.Sort(found)
	return slices.Compact(found)
}

func wordKey(word string, document []byte) []byte {
	return slices.Concat(wordPrefix, []byte(word), []byte{0}, document)
}

// offset returns where the index stands, and whether it is built.
func (x *index) offset() (offset uint64, built bool, err error) {
	value, err := x.db.Get(offsetKey)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return binary.BigEndian.Uint64(value), true, nil
}

func putOffset(tx *kv.Tx, offset uint64) error {
	return tx.Put(offsetKey, binary.BigEndian.AppendUint64(nil, offset))
}

// find returns the keys of the documents that have a word, as of one instant.
func (x *index) find(word string) (documents []string, err error) {
	prefix := wordKey(strings.ToLower(word), nil)
	err = x.db.View(func(tx *kv.Tx) error {
		for key := range tx.Scan(kv.Range{Prefix: prefix}) {
			documents = append(documents, string(key[len(prefix):]))
		}
		return nil
	})
	return documents, err
}

// follow brings the index up to date, and keeps it so until ctx ends or the documents' store can't be followed. It builds the
// index again where the changes that it has missed are held no longer, or are too many for one commit, and where the index is
// of a later state than the documents are: then these were restored from a backup.
func (x *index) follow(ctx context.Context, documents *kv.DB) error {
	for {
		offset, built, err := x.offset()
		if err != nil {
			return err
		}
		if built && offset <= documents.Offset() {
			err := x.feed(ctx, documents, offset)
			if !errors.Is(err, kv.ErrTruncated) && !errors.Is(err, kv.ErrCommitTooLarge) {
				return err
			}
		}
		if err := x.rebuild(ctx, documents); err != nil {
			return fmt.Errorf("rebuild: %w", err)
		}
	}
}

// feed applies each commit after an offset.
func (x *index) feed(ctx context.Context, documents *kv.DB, offset uint64) error {
	for commit, err := range documents.Watch(ctx, kv.WatchOptions{From: offset + 1}) {
		if err != nil {
			return err
		}
		err := x.db.UpdateContext(ctx, func(tx *kv.Tx) error {
			for _, mutation := range commit.Mutations {
				if err := apply(tx, mutation); err != nil {
					return err
				}
			}
			return putOffset(tx, commit.Offset)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func apply(tx *kv.Tx, m kv.Mutation) error {
	switch m.Kind {
	case kv.MutationPut:
		return errors.Join(remove(tx, m.Key), add(tx, m.Key, m.Value))
	case kv.MutationDelete:
		return remove(tx, m.Key)
	case kv.MutationDeleteRange:
		over := kv.Range{Prefix: textPrefix, Start: slices.Concat(textPrefix, m.Key)}
		if len(m.End) > 0 {
			over.End = slices.Concat(textPrefix, m.End)
		}
		for key := range tx.Scan(over) {
			if err := remove(tx, bytes.TrimPrefix(key, textPrefix)); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("a mutation of kind %v", m.Kind)
}

// add puts a document into the index, under its words.
func add(tx *kv.Tx, document, text []byte) error {
	all := words(text)
	for _, word := range all {
		if err := tx.Put(wordKey(word, document), nil); err != nil {
			return err
		}
	}
	return tx.Put(slices.Concat(textPrefix, document), []byte(strings.Join(all, " ")))
}

// remove takes a document out of the index, which knows the words that it is under.
func remove(tx *kv.Tx, document []byte) error {
	key := slices.Concat(textPrefix, document)
	text, err := tx.Get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for word := range strings.FieldsSeq(string(text)) {
		if err := tx.Delete(wordKey(word, document)); err != nil {
			return err
		}
	}
	return tx.Delete(key)
}

// rebuild makes the index of one instant of the documents, in many commits. The first one takes everything out, the offset
// included, and the last one puts the offset in: an index whose rebuild was interrupted is built again.
func (x *index) rebuild(ctx context.Context, documents *kv.DB) error {
	view, err := documents.ReadView()
	if err != nil {
		return err
	}
	defer view.Close()
	if err := x.db.UpdateContext(ctx, func(tx *kv.Tx) error { return tx.DeleteRange(nil, nil) }); err != nil {
		return err
	}
	for after, more := []byte(nil), true; more; {
		err := x.db.UpdateContext(ctx, func(tx *kv.Tx) error {
			after, more, err = addSome(tx, view, after)
			return err
		})
		if err != nil {
			return err
		}
	}
	return x.db.UpdateContext(ctx, func(tx *kv.Tx) error { return putOffset(tx, view.Offset()) })
}

// addSome adds the documents that follow one. It returns the last one that it has added, and whether there are more.
func addSome(tx *kv.Tx, view *kv.ReadView, after []byte) (last []byte, more bool, err error) {
	size := 0
	for key, value := range view.Scan(kv.Range{After: after}) {
		if size >= rebuildBatch {
			return after, true, nil
		}
		if err := add(tx, key, value); err != nil {
			return nil, false, err
		}
		after = key
		size += len(key) + len(value)
	}
	return after, false, nil
}
