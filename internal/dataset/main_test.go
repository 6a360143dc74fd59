package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachSetBecomesPairs(t *testing.T) {
	cases := []struct {
		name, set, input string
		want             []string
	}{
		{
			name: "unihan keys a property by its character and skips comments", set: "unihan",
			input: "# Unihan\n\nU+3400\tkMandarin\tqiū\nU+3401\tkDefinition\tto lick; to taste\tor so\n",
			want:  []string{`U+3400/kMandarin "qiū"`, `U+3401/kDefinition "to lick; to taste\tor so"`},
		},
		{
			name: "wordnet keys a synset by kind and number and skips the licence", set: "wordnet",
			input: "  1 This software\n00001740 03 n 01 entity 0 | that which is  \n",
			want:  []string{`n/00001740 "00001740 03 n 01 entity 0 | that which is"`},
		},
		{
			name: "cities keep the whole object as their value", set: "cities",
			input: `[{"name":"Vila","lat":"42.5","lng":"1.5","country":"AD","admin1":"03"}]`,
			want:  []string{`AD/Vila/42.5,1.5 {"name":"Vila","lat":"42.5","lng":"1.5","country":"AD","admin1":"03"}`},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			err := converters[c.set](strings.NewReader(c.input), func(key string, value any) error {
				text, err := json.Marshal(value)
				got = append(got, key+" "+string(text))
				return err
			})
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestWrongUseAndWrongInputAreErrors(t *testing.T) {
	require.ErrorContains(t, run([]string{"atlas", "x"}, nil), "usage")
	require.ErrorContains(t, run([]string{"unihan", "no-such-file"}, nil), "no-such-file")
	require.Error(t, cities(strings.NewReader(`[{"name":`), func(string, any) error { return nil }))
}
