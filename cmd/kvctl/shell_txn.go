package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// errAborted ends a transaction that is typed into a shell without a commit.
var errAborted = errors.New("aborted")

// typedTxn reads a transaction up to the line commit, and returns it as JSON lines. It reads all lines up to there also after
// one that is wrong, so that none of them ever runs as a command outside of the transaction.
func typedTxn(next func(prompt string) (string, error)) (string, error) {
	var text strings.Builder
	var wrong error
	for number := 1; ; number++ {
		line, err := next("  txn> ")
		if errors.Is(err, io.EOF) {
			return "", errors.New(`the input ended without a line "commit"`)
		}
		if err != nil {
			return "", err
		}
		switch strings.TrimSpace(line) {
		case "commit":
			return text.String(), wrong
		case "abort":
			return "", errAborted
		}
		line, err = txnLine(line)
		if err == nil && text.Len()+len(line) > maxLine {
			err = fmt.Errorf("the transaction takes more than %d bytes", maxLine)
		}
		if wrong == nil && err != nil {
			wrong = &lineError{number, err}
		}
		if wrong == nil {
			text.WriteString(line)
			text.WriteByte('\n')
		}
	}
}

// txnLine returns a line of a transaction as JSON. One that is JSON stays as it is.
func txnLine(line string) (string, error) {
	if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '{' {
		return line, nil
	}
	split, _, err := splitWords(line)
	if err != nil {
		return "", err
	}
	words := make([]string, 5)
	for i, word := range split {
		if i < len(words) {
			words[i] = word.text
		}
	}
	switch {
	case strings.HasPrefix(words[0], "#"):
		return "", nil
	case words[0] == "put" && len(split) == 3:
		return txnObject(opPut, "key", words[1], "value", words[2])
	case words[0] == "del" && len(split) == 2:
		return txnObject(opDelete, "key", words[1])
	case words[0] == "del" && len(split) == 5 && words[1] == "--start" && words[3] == "--end":
		return txnObject(opDeleteRange, "start", words[2], "end", words[4])
	case words[0] == opExpect && len(split) == 3 && words[2] == "--absent":
		object, err := txnObject(opExpect, "key", words[1])
		return strings.TrimSuffix(object, "}") + `,"absent":true}`, err
	case words[0] == opExpect && len(split) == 3:
		return txnObject(opExpect, "key", words[1], "value", words[2])
	}
	return "", errors.New("want put KEY VALUE, del KEY, del --start A --end B, expect KEY VALUE, expect KEY --absent, a JSON " +
		"object, commit or abort")
}

// txnObject returns a JSON object of an operation and its members: a name and a text each.
func txnObject(op string, members ...string) (string, error) {
	object := `{"op":"` + op + `"`
	for i := 0; i < len(members); i += 2 {
		name, value := members[i], any(members[i+1])
		if !utf8.ValidString(members[i+1]) {
			name, value = name+"_base64", []byte(members[i+1])
		}
		text, err := marshalJSON(value)
		if err != nil {
			return "", err
		}
		object += `,"` + name + `":` + string(text)
	}
	return object + "}", nil
}
