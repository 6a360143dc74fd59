package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/walnutkv/walnut/kv"
)

// A node's identity is its name and its directory's number, which is drawn when the directory is made: "a@1f2e3d4c5b6a7988". It is how the
// consensus knows the node. A directory that was lost, and made again under the old name, is so another node: it has forgotten its votes and
// its log, and must not count for the one that had them.

// nameMax is how many bytes a node's name has at most, so that its identity has no more than 255.
const nameMax = 200

func identity(name, directory string) string { return name + "@" + directory }

// nameOf returns the name in an identity.
func nameOf(id string) string {
	name, _, _ := strings.Cut(id, "@")
	return name
}

// checkDirectory refuses a directory that is no node's, or no longer whole, before anything is made in it.
func checkDirectory(dir string) error {
	for _, name := range []string{walName, memberName} {
		if isThere(filepath.Join(dir, name)) {
			return storeError{dir}
		}
	}
	if !isThere(filepath.Join(dir, consensusName)) {
		return nil
	}
	store := filepath.Join(dir, storeName)
	if !isThere(store) {
		return goneError(store)
	}
	// A store without a log is looked at by kv, which knows more about it.
	if member := filepath.Join(store, memberName); isThere(filepath.Join(store, walName)) && !isThere(member) {
		return goneError(member)
	}
	return nil
}

func goneError(path string) error {
	return fmt.Errorf("%w: %s is gone; remove the node, and open a new directory", ErrCorrupt, path)
}

// storeError is the kv.ErrReplica of a directory that is a store's. The text of kv.ErrReplica says the opposite where that is a plain one.
type storeError struct{ dir string }

func (e storeError) Error() string {
	return fmt.Sprintf("cluster: %s holds a store, and is no node's directory; restore a backup of it into a new cluster", e.dir)
}

func (storeError) Is(target error) bool { return target == kv.ErrReplica }

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// identify returns the node's identity, which it gets where the store is new. The store's lock is held.
func identify(s *stable, name string, isNew bool) (string, error) {
	directory, err := s.read(directoryKey)
	if err != nil || directory != "" {
		return identity(name, directory), err
	}
	if !isNew {
		return "", fmt.Errorf("%w: %s is gone, or has no number of its directory; remove the node, and open a new directory", ErrCorrupt, s.path)
	}
	directory = hex.EncodeToString(random(8))
	return identity(name, directory), s.Set([]byte(directoryKey), []byte(directory))
}

func random(size int) []byte {
	text := make([]byte, size)
	_, _ = rand.Read(text) // It doesn't fail.
	return text
}
