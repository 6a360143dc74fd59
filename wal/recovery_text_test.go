package wal

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnOutcomeIsItsNameInJSON(t *testing.T) {
	text, err := json.Marshal([]Outcome{Created, Clean, Unclean, Torn, 9})
	require.NoError(t, err)
	require.Equal(t, `["created","clean","unclean","torn","Outcome(9)"]`, string(text))
}
