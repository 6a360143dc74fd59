// Command pages records the pages whose commands are run: in their blocks of the kind console, what stands after each line that
// begins with "$ " is what the command printed. `make pages` records them again, and a test does the same and compares, so that
// they stay true.
//
// The commands of a page run one after another in one directory, which is empty at first but for testdata, the repository's.
// kvctl is the one of this source. A block of the kind sh that begins with "#!" and a comment is a script, which gets the name
// that its comment begins with. What differs from run to run, such as times, is not compared.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// recorded are the pages, below the root of the module.
var recorded = []string{"docs/tour.md", "docs/operations.md", "docs/durability.md"}

// pageTime is how long the commands of a page may take.
const pageTime = 3 * time.Minute

func main() {
	root := flag.String("root", ".", "the root of the module")
	flag.Parse()
	if err := recordAll(*root); err != nil {
		fmt.Fprintln(os.Stderr, "pages:", err)
		os.Exit(1)
	}
}

// recordAll records each page again, and leaves one alone where nothing has changed but times and the like.
func recordAll(root string) error {
	bin, err := os.MkdirTemp("", "walnut-pages-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	if err := build(root, bin); err != nil {
		return err
	}
	for _, name := range recorded {
		before, after, err := record(root, bin, name)
		if err != nil {
			return err
		}
		if before == after {
			continue
		}
		fmt.Println(name, "has changed")
		if err := os.WriteFile(filepath.Join(root, name), []byte(after), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// build builds kvctl in a directory.
func build(root, bin string) error {
	command := exec.Command("go", "build", "-o", filepath.Join(bin, "kvctl"), "./cmd/kvctl")
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build kvctl: %w: %s", err, out)
	}
	return nil
}

// record runs the commands of a page with the kvctl in bin. It returns the page as it is, and as it has to be.
func record(root, bin, name string) (before, after string, err error) {
	if root, err = filepath.Abs(root); err != nil {
		return "", "", err
	}
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return "", "", err
	}
	work, err := os.MkdirTemp("", "walnut-page-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(work)
	if err := os.Symlink(filepath.Join(root, "testdata"), filepath.Join(work, "testdata")); err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), pageTime)
	defer cancel()
	path := strings.Join([]string{work, bin, os.Getenv("PATH")}, string(os.PathListSeparator))
	s := &session{ctx: ctx, work: work, env: append(os.Environ(), "PATH="+path, "LC_ALL=C", "TZ=UTC", "KVCTL_DIR=")}
	if after, err = s.rewrite(string(text)); err != nil {
		return "", "", fmt.Errorf("%s: %w", name, err)
	}
	return string(text), after, nil
}
