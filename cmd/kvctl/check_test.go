package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVerifyLeavesOutOnlyWhatLiesElsewhere(t *testing.T) {
	for _, c := range []struct {
		path string
		want bool
	}{
		{"store/wal/1.store", false},
		{"store/wal", false},
		{"", false},
		{"store/letters.txt", true},
		{"store/walnut/1.store", true},
		{"store", true},
	} {
		require.Equal(t, c.want, isOutside(c.path, "store/wal"), c.path)
	}
}
