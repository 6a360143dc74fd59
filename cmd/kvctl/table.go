package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// rowReader reads the rows of a table, the header included. The error of row is io.EOF at the end, or a *lineError. The
// fields are valid until the next call.
type rowReader interface {
	row() (fields []string, line int, err error)
}

// tableReader reads the pairs of a table: a column is the key, and another, or the whole row as JSON, the value.
type tableReader struct {
	rows  rowReader
	enc   encoding
	names []string // The header; nil if the table has none.
	first []string // The first row, until next returns it; nil in a table with a header.

	firstLine int
	columns   int
	key       int
	value     int // -1 for the whole row.
}

// tableColumns says which columns an import uses. A column is named by the header, or else by its number from 1.
type tableColumns struct {
	key, value string
	noHeader   bool
}

// newTableReader reads the first row and finds the columns in it. An empty table has no pairs for any columns.
func newTableReader(rows rowReader, enc encoding, want tableColumns) (*tableReader, error) {
	t := &tableReader{rows: rows, enc: enc, value: -1}
	fields, line, err := rows.row()
	if err == io.EOF {
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	t.columns = len(fields)
	if want.noHeader {
		t.first, t.firstLine = fields, line
	} else {
		t.names = append([]string{}, fields...)
	}
	if err := t.findColumns(want); err != nil {
		return nil, &lineError{line, err}
	}
	return t, nil
}

func (t *tableReader) findColumns(want tableColumns) (err error) {
	if t.key, err = t.column(want.key); err != nil {
		return err
	}
	if want.value != "" {
		t.value, err = t.column(want.value)
		return err
	}
	for i := range t.names {
		if _, err := t.column(t.names[i]); err != nil {
			return fmt.Errorf("a row can't be stored as a JSON object: %w", err)
		}
	}
	return nil
}

// column returns the index of a column by name or number.
func (t *tableReader) column(want string) (int, error) {
	found := -1
	for i, name := range t.names {
		if name == want && found >= 0 {
			return 0, fmt.Errorf("columns %d and %d are both named %s", found+1, i+1, shown(want))
		}
		if name == want {
			found = i
		}
	}
	if found >= 0 {
		return found, nil
	}
	if number, err := strconv.Atoi(want); err == nil && number >= 1 && number <= t.columns {
		return number - 1, nil
	}
	if t.names == nil {
		return 0, usagef("no column %s; they are numbered 1 to %d", shown(want), t.columns)
	}
	return 0, usagef("no column %s; there are %s", shown(want), strings.Join(t.names, ", "))
}

func (t *tableReader) next() (pair, error) {
	fields, line, err := t.nextRow()
	if err != nil {
		return pair{}, err
	}
	p := pair{line: line}
	if p.key, err = t.enc.decode(fields[t.key]); err == nil {
		p.value, err = t.rowValue(fields)
	}
	if err != nil {
		return pair{}, &lineError{line, err}
	}
	return p, nil
}

func (t *tableReader) nextRow() (fields []string, line int, err error) {
	if t.first != nil {
		fields, t.first = t.first, nil
		return fields, t.firstLine, nil
	}
	fields, line, err = t.rows.row()
	if err == nil && len(fields) != t.columns {
		return nil, 0, &lineError{line, fmt.Errorf("%d columns, the first line has %d", len(fields), t.columns)}
	}
	return fields, line, err
}

func (t *tableReader) rowValue(fields []string) ([]byte, error) {
	if t.value >= 0 {
		return t.enc.decode(fields[t.value])
	}
	for i, field := range fields {
		if !utf8.ValidString(field) {
			return nil, fmt.Errorf("column %d is not valid UTF-8, so the row can't be stored as JSON; say --value COLUMN", i+1)
		}
	}
	if t.names == nil {
		return marshalJSON(fields)
	}
	return t.rowObject(fields)
}

// rowObject returns a row as an object with its members in the order of the table.
func (t *tableReader) rowObject(fields []string) ([]byte, error) {
	object := []byte{'{'}
	for i, field := range fields {
		if i > 0 {
			object = append(object, ',')
		}
		name, err := marshalJSON(t.names[i])
		if err != nil {
			return nil, err
		}
		text, err := marshalJSON(field)
		if err != nil {
			return nil, err
		}
		object = append(append(append(object, name...), ':'), text...)
	}
	return append(object, '}'), nil
}

// marshalJSON is json.Marshal with <, > and & as they are.
func marshalJSON(value any) ([]byte, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// tsvRows reads tab-separated values: every tab ends a field, and no character quotes another.
type tsvRows struct{ lines *lineReader }

func (r *tsvRows) row() ([]string, int, error) {
	for {
		line, err := r.lines.next()
		if err != nil {
			return nil, 0, err
		}
		if len(line) > 0 {
			return strings.Split(string(line), "\t"), r.lines.line, nil
		}
	}
}

// csvRows reads comma-separated values, quoted as in RFC 4180.
type csvRows struct {
	csv   *csv.Reader
	limit *limitedReader
	line  int // The line where the last row began.
}

// limitedReader fails once more than left bytes have been read. A quote that is never closed would otherwise read a whole
// file into one field.
type limitedReader struct {
	from io.Reader
	left int
}

var errRowTooLong = fmt.Errorf("longer than %d bytes; is a quote not closed?", maxLine)

// Read reads from the underlying reader.
func (r *limitedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errRowTooLong
	}
	n, err := r.from.Read(p)
	r.left -= n
	return n, err
}

func newCSVRows(from io.Reader) *csvRows {
	limit := &limitedReader{from: from}
	rows := &csvRows{csv: csv.NewReader(limit), limit: limit}
	rows.csv.FieldsPerRecord = -1 // Counted in tableReader, for csv and tsv alike.
	return rows
}

func (r *csvRows) row() ([]string, int, error) {
	r.limit.left = maxLine
	fields, err := r.csv.Read()
	if err == io.EOF {
		return nil, 0, io.EOF
	}
	if err != nil {
		return nil, 0, r.describe(err)
	}
	r.line, _ = r.csv.FieldPos(0)
	return fields, r.line, nil
}

// describe adds to an error the line where the row begins.
func (r *csvRows) describe(err error) error {
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return &lineError{r.line + 1, err}
	}
	if parse.Line == parse.StartLine {
		return &lineError{parse.StartLine, fmt.Errorf("byte %d: %w", parse.Column, parse.Err)}
	}
	return &lineError{parse.StartLine, fmt.Errorf("up to line %d, byte %d: %w", parse.Line, parse.Column, parse.Err)}
}
