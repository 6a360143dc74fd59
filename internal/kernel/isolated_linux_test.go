package kernel

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// isolatedEnv says to the test binary that it runs in its own mount namespace already.
const isolatedEnv = "WALNUT_KERNEL_ISOLATED"

// errNotIsolated is why there is no mount namespace, and so nothing can be mounted.
var errNotIsolated error

var long = flag.Bool("kernel.long", false, "run many more rounds, and recover a log of 1 GiB")

// rounds returns how many rounds a test makes, in a normal run or a long one.
func rounds(normal, many int) int {
	if *long {
		return many
	}
	return normal
}

// TestMain runs the tests in a new mount namespace: what they mount is seen nowhere else and is gone when they end, however
// they end. A user who isn't root becomes root in a new user namespace, who may mount a tmpfs.
func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		runChild(role)
	}
	if os.Getenv(isolatedEnv) == "" {
		var code int
		if code, errNotIsolated = runIsolated(); errNotIsolated == nil {
			os.Exit(code)
		}
	}
	code := m.Run()
	removeKvctl()
	os.Exit(code)
}

// runIsolated runs this program again in new namespaces and returns its exit code.
func runIsolated() (code int, err error) {
	runtime.LockOSThread() // The child is killed with the thread that started it.
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Env = append(os.Environ(), isolatedEnv+"=1")
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		child.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := child.Start(); err != nil {
		return 0, err
	}
	var exit *exec.ExitError
	if err := child.Wait(); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return child.ProcessState.ExitCode(), nil
}

// mount mounts something on a new directory until the test ends.
func mount(t *testing.T, source, kind string, flags uintptr, data string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if errNotIsolated != nil {
		t.Skipf("nothing can be mounted without a mount namespace: %v", errNotIsolated)
	}
	if err := syscall.Mount(source, dir, kind, flags, data); err != nil {
		t.Skipf("mounting needs root or a user namespace: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// smallDisk returns a disk of the given size, such as 8m.
func smallDisk(t *testing.T, size string) (dir string) {
	t.Helper()
	return mount(t, "tmpfs", "tmpfs", 0, "mode=0755,size="+size)
}

// readOnlyAt returns a second name for a directory, below which nothing can be written.
func readOnlyAt(t *testing.T, from string) (dir string) {
	t.Helper()
	dir = mount(t, from, "", syscall.MS_BIND, "")
	require.NoError(t, syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	return dir
}

// ext4 is a file system on a loop device, whose power can be cut.
type ext4 struct {
	t     *testing.T
	image string
	dir   string
}

func newExt4(t *testing.T) *ext4 {
	t.Helper()
	if errNotIsolated != nil {
		t.Skipf("nothing can be mounted without a mount namespace: %v", errNotIsolated)
	}
	d := &ext4{t: t, image: filepath.Join(t.TempDir(), "image"), dir: t.TempDir()}
	require.NoError(t, os.WriteFile(d.image, nil, 0o600))
	require.NoError(t, os.Truncate(d.image, 128<<20))
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4, of the package e2fsprogs: %v %s", err, out)
	}
	if err := d.mount(); err != nil {
		t.Skipf("mounting a loop device needs root and such a device: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(d.dir, syscall.MNT_DETACH) })
	return d
}

// mount mounts the image. An error of the file system makes it read-only.
func (d *ext4) mount() error {
	out, err := exec.Command("mount", "-t", "ext4", "-o", "loop,errors=remount-ro", d.image, d.dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// mountAgain takes the file system away and mounts it again, by which its journal is replayed. Processes that were just killed may
// still have files open.
func (d *ext4) mountAgain() {
	d.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	err := syscall.Unmount(d.dir, 0)
	for ; errors.Is(err, syscall.EBUSY) && time.Now().Before(deadline); err = syscall.Unmount(d.dir, 0) {
		time.Sleep(time.Millisecond)
	}
	require.NoError(d.t, err)
	require.NoError(d.t, d.mount())
}

// What FS_IOC_SHUTDOWN is, and its flag that leaves the journal as it is on the disk.
const (
	fsShutdown        = 0x8004587d
	shutdownNoJournal = 2
)

// cutPower makes the file system forget everything that isn't on the disk: from now on it reads and writes nothing.
func (d *ext4) cutPower() {
	d.t.Helper()
	root, err := os.Open(d.dir)
	require.NoError(d.t, err)
	defer func() { require.NoError(d.t, root.Close()) }()
	how := uint32(shutdownNoJournal)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, root.Fd(), fsShutdown, uintptr(unsafe.Pointer(&how))); errno != 0 {
		d.t.Skipf("this kernel's ext4 can't be shut down: %v", errno)
	}
}

// fail makes ext4 find an error in itself, after which it is read-only.
func (d *ext4) fail() {
	d.t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(d.t, err)
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); fields[1] == d.dir {
			trigger := filepath.Join("/sys/fs/ext4", filepath.Base(fields[0]), "trigger_fs_error")
			if err := os.WriteFile(trigger, []byte("read-only, please"), 0o200); err != nil {
				d.t.Skipf("no error of ext4 can be made: %v", err)
			}
			return
		}
	}
	d.t.Fatal("it isn't mounted")
}

// fill writes a file as large as the disk lets it be and returns its name.
func fill(t *testing.T, dir string) (name string) {
	t.Helper()
	name = filepath.Join(dir, "filler")
	file, err := os.Create(name)
	require.NoError(t, err)
	for err == nil {
		_, err = file.Write(make([]byte, 4<<10))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, file.Close())
	return name
}
