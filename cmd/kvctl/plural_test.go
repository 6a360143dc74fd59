package main

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOneThingIsSaidToBeOne has the nouns that are counted in texts.
func TestOneThingIsSaidToBeOne(t *testing.T) {
	for _, c := range []struct {
		noun, many string
	}{{"pair", "pairs"}, {"key", "keys"}, {"entry", "entries"}, {"segment", "segments"}} {
		require.Equal(t, c.noun, plural(1, c.noun))
		require.Equal(t, c.many, plural(0, c.noun))
		require.Equal(t, c.many, plural(2, c.noun))
	}
	cause := errors.New("line 2")
	require.EqualError(t, (&importer{pairs: 1, offset: 7}).describe(cause), "line 2; the first pair is in and durable, up to offset 7")
	require.EqualError(t, (&importer{pairs: 2, offset: 7}).describe(closeError{cause}),
		"line 2; the first 2 pairs were written, up to offset 7, and may not be durable")
}
