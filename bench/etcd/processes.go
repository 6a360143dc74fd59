package main

import (
	"os"
	"os/exec"
	"time"
)

// names are those of the processes of each kind.
var names = []string{"a", "b", "c"}

// startLimit is how long they may take until one leads.
const startLimit = 20 * time.Second

// processes are servers that run.
type processes struct{ running []*exec.Cmd }

func (p *processes) start(program string, args ...string) error {
	command := exec.Command(program, args...)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return err
	}
	p.running = append(p.running, command)
	return nil
}

// end kills them.
func (p *processes) end() {
	for _, command := range p.running {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
}
