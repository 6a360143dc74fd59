package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// environment is where and how something was measured. What the system doesn't tell is "unknown".
type environment struct {
	Processor  string
	Cores      int
	Memory     string
	System     string
	FileSystem string // Of the directory with the data.
	Go         string
	Date       string
	Command    string
}

const unknown = "unknown"

func newEnvironment(dir string) environment {
	return environment{
		Processor:  fieldOf("/proc/cpuinfo", "model name"),
		Cores:      runtime.GOMAXPROCS(0),
		Memory:     fieldOf("/proc/meminfo", "MemTotal"),
		System:     runtime.GOOS + "/" + runtime.GOARCH + " " + contentOf("/proc/sys/kernel/osrelease"),
		FileSystem: fileSystemOf(dir),
		Go:         runtime.Version(),
		Date:       time.Now().UTC().Format(time.DateOnly),
		Command:    strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " "),
	}
}

// String is the environment as Markdown.
func (e environment) String() string {
	return fmt.Sprintf("%s, %d cores, memory %s, %s, file system %s, %s, %s. Command: `%s`\n",
		e.Processor, e.Cores, e.Memory, e.System, e.FileSystem, e.Go, e.Date, e.Command)
}

// keepsInMemory says whether the file system has no disk, so that what is said of durable writes means nothing.
func (e environment) keepsInMemory() bool { return e.FileSystem == "tmpfs" || e.FileSystem == "ramfs" }

func contentOf(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(content))
}

// fieldOf returns the value of the first line "name: value".
func fieldOf(path, name string) string {
	for line := range strings.Lines(contentOf(path)) {
		field, value, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(field) == name {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

// fileSystemOf returns the type of the file system that a directory is on: that of the longest mount point above it.
func fileSystemOf(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return unknown
	}
	longest, found := "", unknown
	for line := range strings.Lines(contentOf("/proc/mounts")) {
		fields := strings.Fields(line)
		if len(fields) < 3 || len(fields[1]) < len(longest) {
			continue
		}
		if below(dir, fields[1]) {
			longest, found = fields[1], fields[2]
		}
	}
	return found
}

func below(dir, mount string) bool {
	return dir == mount || strings.HasPrefix(dir, strings.TrimSuffix(mount, "/")+"/")
}
