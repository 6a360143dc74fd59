package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// heading is the line of a file with measurements that says where those behind it were made.
type heading struct {
	Environment *environment `json:"environment"`
}

func writeHeading(out io.Writer, e environment) error {
	return json.NewEncoder(out).Encode(heading{&e})
}

// readMeasurements reads files with lines of JSON, one after another.
func readMeasurements(names []string) (all []Measurement, err error) {
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		some, err := parseMeasurements(content)
		if err != nil {
			return nil, fmt.Errorf("read measurements of %s: %w", name, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// parseMeasurements takes a heading anywhere, so that files put one behind the other are one file.
func parseMeasurements(content []byte) (all []Measurement, err error) {
	origin, number := unknownEnvironment(), 0
	for line := range bytes.Lines(content) {
		number++
		var read struct {
			heading
			Measurement
		}
		if err := json.Unmarshal(line, &read); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		switch {
		case read.Environment != nil:
			origin = read.Environment
		case read.Workload == "" || read.Peer == "":
			return nil, fmt.Errorf("line %d has neither an environment nor a measurement", number)
		default:
			read.origin = origin
			all = append(all, read.Measurement)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there are none")
	}
	return all, nil
}

// origins are the environments of some measurements, each once, in their order.
func origins(measurements []Measurement) (distinct []*environment) {
	seen := map[environment]bool{}
	for _, m := range measurements {
		if m.origin != nil && !seen[*m.origin] {
			seen[*m.origin] = true
			distinct = append(distinct, m.origin)
		}
	}
	return distinct
}
