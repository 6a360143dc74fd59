package wal

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// recoveryScript makes a log and damages it, a command a line. A command after "! " must fail.
//
//	append N SIZE           appends N records of SIZE bytes, each in a group of its own
//	batch N SIZE            appends N records in one group
//	prepared SIZE           appends a record that is on the disk before it has an offset
//	mark                    writes the mark of an idle log
//	truncate-front OFFSET   truncates the log before an offset
//	truncate-back OFFSET    truncates the log after an offset
//	close                   closes the log
//	die                     ends the process
//	crash POLICY SEED       cuts the power
//	before OP FILE die      ends the process before the first call OP of that file which a later command makes
//	before OP FILE crash POLICY SEED
//	fail OP                 fails the next call OP
//	flip FILE POSITION      flips a bit
//	zero FILE FROM LENGTH   puts zeros in the place of bytes
//	remove FILE             removes a file
//	full                    leaves no block free on the disk
type recoveryScript struct {
	*testing.T
	mem    *vfs.Mem
	log    *Log     // nil once its process has ended.
	caught *vfs.Mem // The disk at the call that "before" names.
}

// runRecoveryScript returns the disk that a script leaves.
func runRecoveryScript(t *testing.T, text string) *vfs.Mem {
	s := &recoveryScript{T: t, mem: vfs.NewMem()}
	s.log = openTest(t, testOptions(s.mem))
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		command, mustFail := strings.CutPrefix(line, "! ")
		err := s.run(strings.Fields(command))
		require.Equal(t, mustFail, err != nil, "%s: %v", line, err)
		if s.caught != nil {
			s.goOnWith(s.caught)
		}
	}
	require.True(t, s.log == nil, "the script must end the process: close, die or crash")
	return s.mem
}

func (s *recoveryScript) run(words []string) error {
	args := words[1:]
	switch words[0] {
	case "append":
		for _, payload := range s.payloads(args) {
			if _, err := s.log.Append(payload); err != nil {
				return err
			}
		}
	case "batch":
		_, err := s.log.AppendBatch(s.payloads(args))
		return err
	case "prepared":
		_, err := appendPrepared(s.log, s.payloads(append([]string{"1"}, args...))[0])
		return err
	case "mark":
		writeMark(s, s.log)
	case "truncate-front":
		return s.log.TruncateFront(uint64(s.number(args[0])))
	case "truncate-back":
		return s.log.TruncateBack(uint64(s.number(args[0])))
	case "close":
		defer s.goOnWith(s.mem)
		return s.log.Close()
	case "die", "crash":
		s.goOnWith(s.ended(words))
	case "before":
		s.mem.SetHook(func(c vfs.Call) error {
			if s.caught == nil && c.Op.String() == args[0] && strings.TrimSuffix(filepath.Base(c.Name), temporarySuffix) == args[1] {
				s.caught = s.ended(args[2:])
			}
			return nil
		})
	case "fail":
		s.mem.SetHook(func(c vfs.Call) error {
			if c.Op.String() != args[0] {
				return nil
			}
			s.mem.SetHook(nil)
			return errDisk
		})
	default:
		s.damage(words)
	}
	return nil
}

// damage changes a disk that no process uses.
func (s *recoveryScript) damage(words []string) {
	require.True(s, s.log == nil, "%v: end the process first", words)
	if words[0] == "full" {
		s.mem.SetCapacity(1)
		return
	}
	path := joinName(testDir, words[1])
	data := must(s.mem.ReadFile(path))
	switch words[0] {
	case "flip":
		data = flip(data, s.number(words[2])*8)
	case "zero":
		clear(data[s.number(words[2]):][:s.number(words[3])])
	case "remove":
		require.NoError(s, s.mem.Remove(path))
		require.NoError(s, s.mem.SyncDir(testDir))
		return
	default:
		s.Fatalf("unknown command %q", words[0])
	}
	require.NoError(s, s.mem.WriteFile(path, data))
}

// goOnWith lets a disk without a process take the place of the log's.
func (s *recoveryScript) goOnWith(mem *vfs.Mem) {
	mem.SetHook(nil)
	s.mem, s.log, s.caught = mem, nil, nil
}

// ended returns the disk as it is after an end of the process, or of the power.
func (s *recoveryScript) ended(how []string) *vfs.Mem {
	if how[0] == "die" {
		return s.mem.Exit()
	}
	for _, policy := range vfs.Policies {
		if policy.String() == how[1] {
			return s.mem.Crash(uint64(s.number(how[2])), policy)
		}
	}
	s.Fatalf("unknown policy %q", how[1])
	return nil
}

func (s *recoveryScript) payloads(args []string) [][]byte {
	payloads := make([][]byte, s.number(args[0]))
	for i := range payloads {
		text := fmt.Appendf(nil, "record %d;", s.log.Last()+uint64(i)+1)
		size := s.number(args[1])
		payloads[i] = bytes.Repeat(text, size)[:size]
	}
	return payloads
}

func (s *recoveryScript) number(text string) int {
	n, err := strconv.Atoi(text)
	require.NoError(s, err)
	return n
}
