package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// How long after a word a worker is killed, at most.
const (
	crashOpeningTime = 10 * time.Millisecond
	crashWritingTime = 150 * time.Millisecond
	crashLifetime    = time.Minute // For one that hangs before it says the word.
)

// kill runs a worker, kills it at a random instant, and notes what it reported.
func (c *crashTest) kill() error {
	c.crashRound = crashRound{seed: c.seed, before: c.after}
	moment, after := uint64(crashOpened), c.instant(crashWritingTime)
	if c.random.IntN(4) == 0 {
		moment, after = crashOpening, c.instant(crashOpeningTime)
	}
	worker := exec.CommandContext(c.ctx, c.program, c.workerArgs()...) // An interrupt kills it, too.
	var said cappedText
	worker.Stderr = &said
	stdout, err := worker.StdoutPipe()
	if err != nil {
		return err
	}
	switch err := worker.Start(); {
	case c.ctx.Err() != nil && err != nil:
		return errInterrupted
	case err != nil:
		return fmt.Errorf("start a worker: %w", err)
	}
	c.killed++
	limit := time.AfterFunc(crashLifetime, func() { _ = worker.Process.Kill() })
	defer limit.Stop()
	opened := false
	readErr := readCrashWords(stdout, func(word crashWord) error {
		if word.Kind == moment {
			time.AfterFunc(after, func() { _ = worker.Process.Kill() })
		}
		opened = opened || word.Kind == crashOpened
		return c.note(word)
	})
	if readErr != nil {
		_ = worker.Process.Kill()
	}
	if !opened {
		c.opening++
	}
	waitErr := worker.Wait()
	switch {
	case c.ctx.Err() != nil:
		return errInterrupted
	case readErr != nil:
		return readErr
	case said.text.Len() > 0 && worker.ProcessState.Exited():
		// It failed by itself. One that was killed while it said so leaves that to the next one.
		return c.workerFailed(worker.ProcessState.ExitCode(), said.text.String())
	case waitErr == nil:
		return errors.New("a worker ended before it was killed")
	}
	return nil
}

// instant returns a random duration up to a limit.
func (c *crashTest) instant(limit time.Duration) time.Duration {
	return time.Duration(c.random.Int64N(int64(limit)))
}

func (c *crashTest) workerArgs() []string {
	done := make([]string, 0, crashWriters)
	for _, w := range c.before.writers {
		done = append(done, fmt.Sprint(w.left))
	}
	return []string{
		"--dir", c.dir, "--sync", c.app.sync.value, "crash-worker", "--seed", fmt.Sprint(c.seed), "--done", strings.Join(done, ","),
	}
}

// workerFailed returns why a worker failed, or nil for damage, which it leaves to the judge.
func (c *crashTest) workerFailed(code int, said string) error {
	text := strings.TrimPrefix(strings.TrimSpace(said), "kvctl: ")
	if code == exitDamage {
		c.damage = text
		return nil
	}
	if strings.Contains(text, c.app.text(kv.ErrNoSpace)) {
		return fmt.Errorf("the disk of %s is full: %s", c.dir, text)
	}
	return fmt.Errorf("a worker failed: %s", text)
}

// note takes down what a worker reports.
func (c *crashTest) note(word crashWord) error {
	if word.Kind < crashOpening || word.Kind > crashHalved || word.Writer >= crashWriters {
		return fmt.Errorf("a worker reports %v, which is nothing that one reports", word)
	}
	writer := int(word.Writer)
	switch word.Kind {
	case crashAcked:
		c.acked = append(c.acked, crashAck{writer, word.Step, word.Offset})
	case crashSeen:
		c.seen[writer] = max(c.seen[writer], word.Step)
	case crashHalved:
		if len(c.halved) == 10 {
			return nil // More of the same.
		}
		c.halved = append(c.halved, fmt.Sprintf("writer %d's first pair of step %d, and its last of step %d", writer, word.Step, word.Offset))
	}
	return nil
}

// readCrashWords reads words up to the end of a worker's output. A word is written at once, so half of one is an error.
func readCrashWords(from io.Reader, note func(word crashWord) error) error {
	for in := bufio.NewReader(from); ; {
		var word crashWord
		switch err := binary.Read(in, binary.LittleEndian, &word); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read what a worker reports: %w", err)
		}
		if err := note(word); err != nil {
			return err
		}
	}
}

// cappedText keeps the first bytes of what is written to it.
type cappedText struct{ text strings.Builder }

// Write keeps p, or what there is room for.
func (c *cappedText) Write(p []byte) (int, error) {
	c.text.Write(p[:min(len(p), max(0, 4096-c.text.Len()))])
	return len(p), nil
}
