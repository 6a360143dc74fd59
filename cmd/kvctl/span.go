package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// spanFlags are the flags that choose a part of the store's keys. A flag that isn't set doesn't limit them.
type spanFlags struct {
	prefix, start, end string
}

func (f *spanFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.prefix, "prefix", "", "keys that begin with this")
	cmd.Flags().StringVar(&f.start, "start", "", "keys from this one on")
	cmd.Flags().StringVar(&f.end, "end", "", "keys before this one")
}

// given reports whether any of the flags is set.
func (f *spanFlags) given() bool { return f.prefix != "" || f.start != "" || f.end != "" }

// keyRange returns the range of the keys that all flags allow.
func (f *spanFlags) keyRange(enc encoding) (kv.Range, error) {
	var r kv.Range
	for _, bound := range []struct {
		name, text string
		into       *[]byte
	}{{"--prefix", f.prefix, &r.Prefix}, {"--start", f.start, &r.Start}, {"--end", f.end, &r.End}} {
		if bound.text == "" {
			continue
		}
		data, err := enc.argument(bound.name, bound.text)
		if err != nil {
			return kv.Range{}, err
		}
		*bound.into = data
	}
	return r, nil
}

// viewFlags are a span with a direction and a limit, as scan and export take them.
type viewFlags struct {
	spanFlags
	limit   int
	reverse bool
}

func (f *viewFlags) addTo(cmd *cobra.Command) {
	f.spanFlags.addTo(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 0, "at most this many pairs (default all)")
	cmd.Flags().BoolVar(&f.reverse, "reverse", false, "from the last key to the first")
}

// keyRange returns the range that the flags choose, with its direction and limit.
func (f *viewFlags) keyRange(enc encoding) (kv.Range, error) {
	if f.limit < 0 {
		return kv.Range{}, usageError{fmt.Errorf("--limit %d: want 0 for all, or more", f.limit)}
	}
	r, err := f.spanFlags.keyRange(enc)
	r.Limit, r.Reverse = f.limit, f.reverse
	return r, err
}
