package loopback

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoAddressIsGivenTwice(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		addresses, err := Addresses(1)
		require.NoError(t, err)
		require.False(t, seen[addresses[0]], addresses[0])
		seen[addresses[0]] = true
	}
}

func TestAServerCanListenOnEach(t *testing.T) {
	addresses, err := Addresses(9)
	require.NoError(t, err)
	require.Len(t, addresses, 9)
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		defer func() { _ = listener.Close() }()
	}
}

func TestMoreThanThereAreIsAnError(t *testing.T) {
	_, err := Addresses(endPort - firstPort + 1)
	require.ErrorIs(t, err, errNoPort)
}
