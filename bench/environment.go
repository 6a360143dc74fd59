package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// environment is where and how something was measured. What the system doesn't tell is "unknown".
type environment struct {
	Processor  string `json:"processor"`
	Cores      int    `json:"cores"`
	Memory     string `json:"memory"`
	System     string `json:"system"`
	FileSystem string `json:"file_system"` // Of the directory with the data.
	Go         string `json:"go"`
	Walnut     string `json:"walnut"` // The revision.
	Date       string `json:"date"`
	Command    string `json:"command"`
	About      string `json:"about,omitempty"` // What whoever measured has to say of it.
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
		Walnut:     walnutRevision(),
		Date:       time.Now().UTC().Format(time.DateOnly),
		Command:    commandOf(os.Args),
	}
}

// unknownEnvironment is that of measurements whose file doesn't say where they were made.
func unknownEnvironment() *environment {
	return &environment{
		Processor: unknown, Memory: unknown, System: unknown, FileSystem: unknown, Go: unknown, Walnut: unknown,
		Date: unknown, Command: unknown,
	}
}

// walnutRevision is the commit that was measured, with a plus where files were changed since.
func walnutRevision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	changed := slices.Contains(info.Settings, debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	if changed {
		return revision(info) + "+"
	}
	return revision(info)
}

// placing are the flags that say where data and results go: they change no figure, and name nothing that others have.
var placing = []string{"dir", "out", "markdown", "pictures", "about"}

// commandOf is the command line without the flags that only place something.
func commandOf(arguments []string) string {
	words := []string{filepath.Base(arguments[0])}
	for i := 1; i < len(arguments); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(arguments[i], "-"), "=")
		if !strings.HasPrefix(arguments[i], "-") || !slices.Contains(placing, name) {
			words = append(words, arguments[i])
		} else if !joined {
			i++ // The flag's value is the next word.
		}
	}
	return strings.Join(words, " ")
}

// String is the environment as Markdown.
func (e environment) String() string {
	text := fmt.Sprintf("%s, %s cores, memory %s, %s, file system %s, %s, Walnut %s, %s. Command: `%s`\n",
		e.Processor, e.cores(), e.Memory, e.System, e.FileSystem, e.Go, e.Walnut, e.Date, e.Command)
	if e.About != "" {
		text += "\n" + e.About + "\n"
	}
	return text
}

func (e environment) cores() string {
	if e.Cores == 0 {
		return unknown
	}
	return strconv.Itoa(e.Cores)
}

// caption is what a picture tells of it.
func (e environment) caption() string {
	return fmt.Sprintf("%s, %s cores, %s, %s, %s, Walnut %s: %s",
		e.Processor, e.cores(), e.FileSystem, e.Go, e.Date, e.Walnut, e.Command)
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
