package cluster

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMostVotersHaveToConfirmTheTerm(t *testing.T) {
	for _, c := range []struct {
		sentence string
		terms    map[string]uint64 // What the other voters say; 0 is no answer, ever.
		need     int
		confirms bool
	}{
		{"a node alone", map[string]uint64{}, 0, true},
		{"one of two others is enough for three", map[string]uint64{"b": 7, "c": 0}, 1, true},
		{"one in a later term may have voted there", map[string]uint64{"b": 8, "c": 9}, 1, false},
		{"one in an earlier term doesn't know of this one", map[string]uint64{"b": 6, "c": 6}, 1, false},
		{"two of four are needed for five", map[string]uint64{"b": 7, "c": 8, "d": 7, "e": 0}, 2, true},
		{"one of four isn't enough", map[string]uint64{"b": 7, "c": 8, "d": 8, "e": 8}, 2, false},
		{"all of one are needed for two", map[string]uint64{"b": 8}, 1, false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			asked := confirmations{ctx: ctx, voters: map[string]*rounds{}, ask: func(ctx context.Context, place string) (uint64, error) {
				if c.terms[place] == 0 {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return c.terms[place], nil
			}}
			var others []string
			for place := range c.terms {
				others = append(others, place)
			}
			err := asked.confirm(t.Context(), 7, others, c.need)
			require.Equal(t, c.confirms, err == nil, "%v", err)
			require.True(t, err == nil || errors.Is(err, ErrNoLeader))
			cancel()
			asked.close()
			require.Nil(t, asked.of("b"))
		})
	}
}
