package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	batchRows      = 100  // Rows in one commit of the import that is killed.
	killAfterAcked = 150  // Batches acknowledged before the kill.
	heldBackRows   = 2000 // Rows that the import never gets, so that it can't end before it is killed.
)

// killImport fills the store "killed" through a pipe and kills the process in the middle. It keeps the last acknowledgement
// for the next scene.
func killImport(s *stage, set *dataSet) error {
	s.begin("An import is killed half-way")
	s.tell("The same rows again, into another store, %d to a commit. kvctl says on its output when a batch is durable. "+
		"Once it has said so %d times it gets SIGKILL, which no program can catch: nothing is flushed, closed or tidied up.",
		batchRows, killAfterAcked)
	args := []string{"import", "--format", "tsv", "--key", "code", "--batch", strconv.Itoa(batchRows), "--ack", "-"}
	s.showCommand("killed", args...)
	command := s.command("killed", args...)
	stdin, err := command.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	go feed(stdin, set)
	last, ackErr := killAt(stdout, killAfterAcked*batchRows, command.Process.Kill)
	err = command.Wait()
	stdin.Close()
	if ackErr != nil {
		return fmt.Errorf("import: %w, ended with: %w", ackErr, err)
	}
	s.acked = last
	s.showLines("…\n" + last.line + "\n[killed]")
	return s.claim(wasKilled(err), "the process died of SIGKILL after it had acknowledged %d of %d rows.",
		last.rows, len(set.keys))
}

// feed writes all rows but the last ones to an import and leaves the pipe open. A write fails when the import dies.
func feed(stdin io.Writer, set *dataSet) {
	buffered := bufio.NewWriter(stdin)
	_, _ = buffered.Write(set.header)
	for _, line := range set.lines[:len(set.lines)-heldBackRows] {
		if _, err := buffered.Write(line); err != nil {
			return
		}
	}
	_ = buffered.Flush()
}

// ack is the last line of the form "acked ROWS OFFSET" that an import printed.
type ack struct {
	line string
	rows int
}

// killAt reads acknowledgements and calls kill once there are enough. It reads on to the end: lines printed before the
// process died count too.
func killAt(stdout io.Reader, enough int, kill func() error) (ack, error) {
	var last ack
	killed := false
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		next := ack{line: lines.Text()}
		if _, err := fmt.Sscanf(next.line, "acked %d", &next.rows); err != nil {
			continue
		}
		last = next
		if last.rows >= enough && !killed {
			killed = true
			if err := kill(); err != nil {
				return last, err
			}
		}
	}
	if !killed {
		return last, fmt.Errorf("only %d rows were acknowledged", last.rows)
	}
	return last, nil
}

func wasKilled(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// openAgain shows what recovery found in the store "killed" and compares every pair with the store "full".
func openAgain(s *stage, set *dataSet) error {
	s.begin("The store is opened again")
	if _, err := s.mustShow("killed", "stats"); err != nil {
		return err
	}
	full, err := pairs(s, "full")
	if err != nil {
		return err
	}
	started := time.Now()
	found, err := pairs(s, "killed")
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n   [export of what was found, compared with the first store pair by pair: %.2f s]\n",
		time.Since(started).Seconds())
	return errors.Join(
		s.claim(s.acked.rows <= len(found), "all %d acknowledged rows are there (%d were found: a batch that was durable, "+
			"but not yet acknowledged when the process died, may be there too).", s.acked.rows, len(found)),
		s.claim(len(found)%batchRows == 0, "no batch is there in part: %d rows are %d whole batches.",
			len(found), len(found)/batchRows),
		s.claim(isPrefix(set, full, found), "they are the first %d rows of the file, each with the value it should have; "+
			"of the other %d there is no trace.", len(found), len(set.keys)-len(found)),
	)
}

// isPrefix reports whether the pairs found are the first rows of the set, with the values that the full store has.
func isPrefix(set *dataSet, full, found map[string]string) bool {
	for i, key := range set.keys {
		line, there := found[key]
		if there != (i < len(found)) || there && line != full[key] {
			return false
		}
	}
	return len(found) <= len(set.keys)
}

// finishImport imports the whole file into the store that was killed; rows that it holds already are put again.
func finishImport(s *stage, set *dataSet) error {
	s.begin("The import is run again")
	s.tell("Opening for writing is the same recovery, and standard error says what it did. Then the import " +
		"starts over: rows that the store holds already are put again, with the same values.")
	if _, err := s.mustShow("killed", "-v", "import", "--key", "code", importFile); err != nil {
		return err
	}
	first, err := s.quiet("full", "export")
	if err != nil {
		return err
	}
	second, err := s.quiet("killed", "export")
	if err != nil {
		return err
	}
	if _, err := s.mustShow("killed", "check"); err != nil {
		return err
	}
	same := first.code == 0 && second.code == 0 && first.stdout == second.stdout
	return s.claim(same && strings.Count(second.stdout, "\n") == len(set.keys),
		"the store that was killed now exports byte for byte what the first one does.")
}
