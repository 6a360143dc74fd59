package servers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/walnutkv/walnut/internal/loopback"
	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

// Trio is three walnutd that run, which replicate one store. They have the default options.
type Trio struct {
	Nodes [3]*Server

	admin [3]string // Where operators reach them.
}

// Walnutd builds walnutd of this repository in a directory, and returns its path. Where the modules of the replicated store can't be had, the
// error is ErrAbsent.
func Walnutd(dir string) (string, error) {
	root, err := root()
	if err != nil {
		return "", err
	}
	path, module := filepath.Join(dir, "walnutd"), filepath.Join(root, "cluster")
	for _, args := range [][]string{{"list", "-deps", "./walnutd"}, {"build", "-o", path, "./walnutd"}} {
		command := exec.Command("go", args...)
		command.Dir = module
		out, err := command.CombinedOutput()
		switch {
		case err == nil:
		case args[0] == "list":
			return "", fmt.Errorf("%w: walnutd: %w\n%s", ErrAbsent, err, out)
		default:
			return "", fmt.Errorf("build walnutd: %w\n%s", err, out)
		}
	}
	return path, nil
}

// nodeName is the name of a node.
func nodeName(i int) string { return string(rune('a' + i)) }

// Walnuts starts three walnutd in a directory, and waits until all know who leads.
func Walnuts(walnutd, dir string) (*Trio, error) {
	addresses, err := loopback.Addresses(9)
	if err != nil {
		return nil, err
	}
	t, join := &Trio{}, strings.Join(addresses[:3], ",")
	for i := range t.Nodes {
		name := nodeName(i)
		t.admin[i] = addresses[3+i]
		t.Nodes[i] = &Server{Name: "walnutd " + name, Address: addresses[6+i], Dir: filepath.Join(dir, name), argv: []string{
			walnutd, "--dir", filepath.Join(dir, name), "--cluster", "judged", "--id", name, "--listen", addresses[i], "--join", join,
			"--bootstrap-expect", "3", "--insecure", "--admin", addresses[3+i], "--redis", addresses[6+i],
		}}
	}
	var starting sync.WaitGroup
	var failures [3]error
	for i, node := range t.Nodes {
		starting.Go(func() { failures[i] = node.Start() }) // Each waits for the others.
	}
	starting.Wait()
	err = errors.Join(failures[:]...)
	if err == nil {
		_, err = t.Leader()
	}
	if err != nil {
		t.Kill()
	}
	return t, err
}

// Kill ends all that run, as kill -9 does.
func (t *Trio) Kill() {
	for _, node := range t.Nodes {
		if node.cmd != nil && node.cmd.Process != nil {
			_ = node.Kill()
		}
	}
}

// Leader waits until all nodes that run agree on which one leads, and on which ones are there, and returns that node's place.
func (t *Trio) Leader() (leader int, err error) {
	for began := time.Now(); time.Since(began) < startLimit; time.Sleep(20 * time.Millisecond) {
		said := map[string]bool{}
		for _, node := range t.running() {
			said[node.slots()] = true
		}
		for i, node := range t.Nodes {
			want := fmt.Sprint(node.Address, " of ", len(t.running()))
			if len(said) == 1 && said[want] && isRunning(node) {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("no node leads after %s", startLimit)
}

func (t *Trio) running() (running []*Server) {
	for _, node := range t.Nodes {
		if isRunning(node) {
			running = append(running, node)
		}
	}
	return running
}

func isRunning(s *Server) bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// slots returns who leads as the node says it, and how many nodes it knows.
func (s *Server) slots() string {
	conn, err := resp.Dial(s.Address)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	reply, err := conn.Must("CLUSTER", "SLOTS")
	if err != nil || len(reply.Elements) != 1 || len(reply.Elements[0].Elements) < 3 {
		return fmt.Sprint("unknown: ", err)
	}
	nodes := reply.Elements[0].Elements[2:]
	port, _ := nodes[0].Elements[1].Int()
	return fmt.Sprint(nodes[0].Elements[0].Text, ":", strconv.FormatInt(port, 10), " of ", len(nodes))
}

// Transfer lets another node lead, and returns once it does.
func (t *Trio) Transfer(from, to int) error {
	body := strings.NewReader(fmt.Sprintf(`{"node": %q}`, nodeName(to)))
	answer, err := http.Post("http://"+t.admin[from]+"/v1/transfer", "application/json", body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		text, err := io.ReadAll(answer.Body)
		return errors.Join(fmt.Errorf("transfer: %s: %s", answer.Status, text), err)
	}
	return nil
}
