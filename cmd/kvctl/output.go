package main

import (
	"encoding/json"
	"fmt"

	"github.com/walnutkv/walnut/kv"
)

// The values of --output.
const (
	outputText = "text"
	outputJSON = "json"
)

// pairJSON is what a mutation shares with a pair.
type pairJSON struct {
	Key         *string `json:"key,omitempty"`
	KeyBase64   []byte  `json:"key_base64,omitempty"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
	Deadline    string  `json:"deadline,omitempty"`
}

func (a *app) wantsJSON() bool { return a.output.value == outputJSON }

func (a *app) enc() encoding { return encoding(a.encoding.value) }

// newJSONEncoder returns an encoder of one object a line to standard output, with <, > and & as they are.
func (a *app) newJSONEncoder() *json.Encoder {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	return encoder
}

// printJSON writes one object.
func (a *app) printJSON(object any) error { return a.newJSONEncoder().Encode(object) }

// printJSONLines writes an object for each item.
func printJSONLines[T, J any](a *app, items []T, form func(T) J) error {
	for _, item := range items {
		if err := a.printJSON(form(item)); err != nil {
			return err
		}
	}
	return nil
}

// printResult writes the result of a command: a number in text, an object in JSON.
func (a *app) printResult(number uint64, object any) error {
	if a.wantsJSON() {
		return a.printJSON(object)
	}
	_, err := fmt.Fprintln(a.stdout, number)
	return err
}

// pairWriter writes pairs to standard output, a line each.
type pairWriter struct {
	app      *app
	asJSON   bool
	keysOnly bool
	line     []byte // Reused from pair to pair.
}

func (a *app) newPairWriter(asJSON, keysOnly bool) *pairWriter {
	return &pairWriter{app: a, asJSON: asJSON, keysOnly: keysOnly}
}

func (w *pairWriter) write(p kv.Pair) error {
	if !w.asJSON {
		return w.writeText(p.Key, p.Value)
	}
	kind := kindPair
	if w.keysOnly {
		kind = kindKey
	}
	w.line = appendPairJSON(w.line[:0], kind, w.app.enc(), p.Key, p.Value, p.Deadline)
	_, err := w.app.stdout.Write(w.line)
	return err
}

func (w *pairWriter) writeText(key, value []byte) error {
	w.line = w.app.enc().appendText(w.line[:0], key)
	if !w.keysOnly {
		w.line = append(w.line, '\t')
		w.line = w.app.enc().appendText(w.line, value)
	}
	w.line = append(w.line, '\n')
	_, err := w.app.stdout.Write(w.line)
	return err
}
