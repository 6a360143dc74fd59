package kernel

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// childEnv says to the test binary that it is a child, and what it is to do: a task as JSON.
const childEnv = "WALNUT_KERNEL_CHILD"

// task is what a child does: it opens a store, lets the writers take steps, and closes the store once its standard input ends.
type task struct {
	Dir, Archive string
	Sync         kv.SyncMode
	Writers      writers
	Steps        []int // What each writer has done before.
	More         int   // How many steps each takes; 0 for no limit.

	SegmentSize int64
	Checkpoint  int64  // The log's size that makes a checkpoint due; 0 for none.
	Every       int    // After how many of its steps a writer takes a checkpoint; 0 for never.
	Sessions    bool   // Writers also put sessions, which expire soon and are swept.
	FileSize    uint64 // The largest file that the child may have; 0 for any.
	Cgroup      string // The directory of the control group that the child joins.
	Weigh       bool   // The child says what memory opening took, and writes nothing.
}

func (c task) options() kv.Options {
	opts := kv.Options{Sync: c.Sync, SegmentSize: c.SegmentSize, ArchiveDir: c.Archive, CheckpointFactor: -1}
	if c.Checkpoint > 0 {
		opts.CheckpointFactor, opts.CheckpointFloor = 0.01, c.Checkpoint
	}
	return opts
}

// say writes one line to the parent.
func say(format string, args ...any) {
	if _, err := fmt.Fprintf(os.Stdout, format+"\n", args...); err != nil {
		os.Exit(3) // The parent is gone.
	}
}

func runChild(encoded string) {
	var c task
	if err := json.Unmarshal([]byte(encoded), &c); err != nil {
		panic(err)
	}
	c.limit()
	before := memoryOf("VmRSS:")
	say("opening")
	db, err := kv.Open(c.Dir, c.options())
	if err != nil {
		say("refused %s", text(err))
		os.Exit(1)
	}
	say("open")
	if c.Weigh {
		say("weighs %s", weigh(db, before))
	} else {
		go c.write(db)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	say("closed %s", text(db.Close()))
	os.Exit(0)
}

// write takes steps, and then says whether the store still shows what it acknowledged.
func (c task) write(db *kv.DB) {
	j := newJudge(c.Writers)
	copy(j.steps, c.Steps)
	more := c.More
	if more == 0 {
		more = 1 << 30
	}
	for writer, err := range j.write(db, more, func(writer, step int) {
		say("did %d %d", writer, step)
		if c.Every > 0 && step%c.Every == 0 {
			_, err := db.Checkpoint(context.Background())
			say("checkpoint %s", text(err))
		}
		if c.Sessions && step%2 == 0 {
			if _, err := db.PutTTL(fmt.Appendf(nil, "session/%d/%d", writer, step), []byte("x"), 50*time.Millisecond); err != nil {
				say("session %s", text(err))
			}
		}
	}) {
		say("writer %d ended: %s", writer, text(err))
	}
	_, err := j.find(db)
	say("ended %s", text(err))
}

// limit takes away what the child must not have.
func (c task) limit() {
	if c.FileSize > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: c.FileSize, Max: c.FileSize}); err != nil {
			panic(err)
		}
	}
	if c.Cgroup != "" {
		if err := os.WriteFile(c.Cgroup+"/cgroup.procs", fmt.Append(nil, os.Getpid()), 0); err != nil {
			panic(err)
		}
	}
}

// child is a process that does a task.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	judge *judge

	mu     sync.Mutex
	said   []string // Everything but acknowledged steps.
	news   chan struct{}
	ended  bool
	stderr strings.Builder
}

// start starts a child whose steps the judge takes down.
func (j *judge) start(t *testing.T, c task, env ...string) *child {
	t.Helper()
	return j.startUnder(t, c, nil, env...)
}

// startUnder is start for a child that another command starts.
func (j *judge) startUnder(t *testing.T, c task, command []string, env ...string) *child {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	command = append(command, self)
	c.Writers, c.Steps = j.writers, j.steps
	encoded, err := json.Marshal(c)
	require.NoError(t, err)
	p := &child{t: t, judge: j, cmd: exec.Command(command[0], command[1:]...), news: make(chan struct{}, 1)}
	p.cmd.Env = append(append(os.Environ(), childEnv+"="+string(encoded)), env...)
	p.cmd.Stderr = &p.stderr
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	go p.listen(out)
	return p
}

func (p *child) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var writer, step int
		if _, err := fmt.Sscanf(lines.Text(), "did %d %d", &writer, &step); err == nil {
			p.judge.acknowledged(writer, step)
		}
		p.hear(lines.Text(), false)
	}
	p.hear("", true)
}

func (p *child) hear(line string, ended bool) {
	p.mu.Lock()
	if !strings.HasPrefix(line, "did ") && line != "" {
		p.said = append(p.said, line)
	}
	p.ended = p.ended || ended
	p.mu.Unlock()
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// until waits until the child has said a line with that beginning, and returns the rest of it.
func (p *child) until(beginning string) (rest string) {
	p.t.Helper()
	p.wait(func() bool {
		for _, line := range p.said {
			if strings.HasPrefix(line, beginning) {
				rest = strings.TrimSpace(line[len(beginning):])
				return true
			}
		}
		return false
	})
	return rest
}

// steps waits until the writers have taken a number of further steps.
func (p *child) steps(more int) {
	p.t.Helper()
	want := p.judge.sum() + more
	p.wait(func() bool { return p.judge.sum() >= want })
}

// wait waits until something is so. The child must not end before that.
func (p *child) wait(isSo func() bool) {
	p.t.Helper()
	timeout := time.After(time.Minute)
	for {
		p.mu.Lock()
		done, ended := isSo(), p.ended
		p.mu.Unlock()
		switch {
		case done:
			return
		case ended:
			err := p.cmd.Wait()
			p.t.Fatalf("the child ended: %v: %v %s", err, p.everything(), p.stderr.String())
		}
		select {
		case <-p.news:
		case <-timeout:
			p.t.Fatalf("waited in vain: %v", p.everything())
		}
	}
}

func (p *child) everything() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.said...)
}

// close lets the child close its store and returns the error of that in words.
func (p *child) close() string {
	p.t.Helper()
	require.NoError(p.t, p.stdin.Close())
	said := p.until("closed")
	p.gone()
	return said
}

// kill kills the child.
func (p *child) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
	p.gone()
}

// gone waits until the child has gone, and until everything that it said was heard.
func (p *child) gone() {
	p.t.Helper()
	timeout := time.After(time.Minute)
	for over := false; !over; {
		p.mu.Lock()
		over = p.ended
		p.mu.Unlock()
		if over {
			break
		}
		select {
		case <-p.news:
		case <-timeout:
			p.t.Fatal("the child's output doesn't end")
		}
	}
	_ = p.cmd.Wait()
	require.NotContains(p.t, p.stderr.String(), "panic")
	require.NotContains(p.t, p.stderr.String(), "fatal error")
}
