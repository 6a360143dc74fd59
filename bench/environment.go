package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// environment says where and how something is measured: a line of the page.
func environment(dir string) string {
	return fmt.Sprintf("%s, %d cores, memory %s, %s/%s %s, file system %s, %s, Walnut %s, %s. Command: `%s %s`",
		outputOf("sed", "-n", "/^model name/{s/.*: //p;q}", "/proc/cpuinfo"), runtime.GOMAXPROCS(0),
		outputOf("sed", "-n", "s/^MemTotal: *//p", "/proc/meminfo"), runtime.GOOS, runtime.GOARCH, outputOf("uname", "-r"),
		outputOf("findmnt", "-n", "-o", "FSTYPE", "-T", dir), runtime.Version(), outputOf("git", "describe", "--always", "--dirty=+"),
		time.Now().UTC().Format(time.DateOnly), filepath.Base(os.Args[0]), strings.Join(os.Args[1:], " "))
}

func outputOf(name string, arguments ...string) string {
	output, err := exec.Command(name, arguments...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(output))
}
