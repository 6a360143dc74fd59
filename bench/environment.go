package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// environment says where and how something is measured: a line of the page.
func environment(dir string) string {
	return fmt.Sprintf("%s, %d cores, memory %s, %s/%s %s, file system %s, %s, Walnut %s, %s. Command: `%s %s`",
		outputOf("sed", "-n", "/^model name/{s/.*: //p;q}", "/proc/cpuinfo"), runtime.GOMAXPROCS(0),
		outputOf("sed", "-n", "s/^MemTotal: *//p", "/proc/meminfo"),
		runtime.GOOS, runtime.GOARCH, outputOf("uname", "-r"), outputOf("findmnt", "-n", "-o", "FSTYPE", "-T", dir),
		runtime.Version(), revision(), time.Now().UTC().Format(time.DateOnly), filepath.Base(os.Args[0]), strings.Join(os.Args[1:], " "))
}

// revision is the commit that is measured, of the repository that this module and Walnut are both in.
func revision() string {
	revision := "of unknown revision"
	info, _ := debug.ReadBuildInfo()
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			revision += " with changes"
		}
	}
	return revision
}

func outputOf(name string, arguments ...string) string {
	output, err := exec.Command(name, arguments...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(output))
}
