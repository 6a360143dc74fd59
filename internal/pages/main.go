// Command pages records the pages whose commands are run: in their blocks of the kind console, what stands after each line that
// begins with "$ " is what the command printed. `make pages` records them again, and a test does the same and compares, so that
// they stay true.
//
// The commands of a page run one after another in one directory, which is empty at first but for testdata, the repository's.
// kvctl is the one of this source. A block of the kind sh that begins with "#!" and a comment is a script, which gets the name
// that its comment begins with. What differs from run to run, such as times, is not compared.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// recorded are the pages, below the root of the module.
var recorded = []string{"docs/tour.md", "docs/operations.md"}

// pageTime is how long the commands of a page may take.
const pageTime = 3 * time.Minute

func main() {
	root := flag.String("root", ".", "the root of the module")
	flag.Parse()
	for _, name := range recorded {
		if err := recordFile(*root, name); err != nil {
			fmt.Fprintln(os.Stderr, "pages:", err)
			os.Exit(1)
		}
	}
}

// recordFile records a page again, and leaves it alone if nothing has changed but times and the like.
func recordFile(root, name string) error {
	before, after, err := record(root, name)
	if err != nil || bytes.Equal(before, after) {
		return err
	}
	fmt.Println(name, "has changed")
	return os.WriteFile(filepath.Join(root, name), after, 0o644)
}

// record returns a page as it is, and as it has to be.
func record(root, name string) (before, after []byte, err error) {
	if root, err = filepath.Abs(root); err != nil {
		return nil, nil, err
	}
	if before, err = os.ReadFile(filepath.Join(root, name)); err != nil {
		return nil, nil, err
	}
	scratch, err := os.MkdirTemp("", "walnut-pages-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(scratch)
	ctx, cancel := context.WithTimeout(context.Background(), pageTime)
	defer cancel()
	s, err := newSession(ctx, root, scratch)
	if err != nil {
		return nil, nil, err
	}
	text, err := s.rewrite(string(before))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return before, []byte(text), nil
}

// newSession builds kvctl in the scratch directory and makes the directory for the commands.
func newSession(ctx context.Context, root, scratch string) (*session, error) {
	bin, work := filepath.Join(scratch, "bin"), filepath.Join(scratch, "work")
	for _, dir := range []string{bin, work} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(bin, "kvctl"), "./cmd/kvctl")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build kvctl: %w: %s", err, out)
	}
	if err := os.Symlink(filepath.Join(root, "testdata"), filepath.Join(work, "testdata")); err != nil {
		return nil, err
	}
	path := work + string(os.PathListSeparator) + bin + string(os.PathListSeparator) + os.Getenv("PATH")
	return &session{ctx: ctx, work: work, env: append(os.Environ(), "PATH="+path, "LC_ALL=C", "TZ=UTC", "KVCTL_DIR=")}, nil
}
