package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// threeUsers are an administrator, a program with some keys, and one that only reads.
const threeUsers = "user admin on >a ~* +@all\nuser shop on >s ~shop:* +@all\nuser report on >r ~* +@read\n"

// setUsers writes a node's file of users, which its flags name from the first time on.
func (c *redisTrio) setUsers(name, text string) {
	c.t.Helper()
	path := c.usersFile(name)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		c.flags[name] = append(c.flags[name], "--redis-users", path)
	}
	require.NoError(c.t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(c.t, os.Rename(path+".new", path))
}

func (c *redisTrio) usersFile(name string) string { return filepath.Join(c.dir, name+".users") }

// requireRefusal shows that a command is answered with an error that begins with a word.
func (c *redisTrio) requireRefusal(client *resp, word, line string) {
	c.t.Helper()
	got, err := client.words(line)
	var refused replyError
	require.ErrorAs(c.t, err, &refused, "%s: %s", line, got)
	require.True(c.t, strings.HasPrefix(string(refused), word+" "), "%s: %s", line, refused)
}

// awaitRefusal sends a command until it is answered so.
func (c *redisTrio) awaitRefusal(client *resp, word, line string) {
	c.t.Helper()
	got := ""
	waitUntil(c.t, func() bool {
		_, err := client.words(line)
		if got = "OK"; err != nil {
			got = err.Error()
		}
		return strings.HasPrefix(got, word+" ")
	}, &got)
}

func TestUsersMayDoTheSameOnEachNode(t *testing.T) {
	c := newRedisTrio(t)
	for _, name := range names {
		c.setUsers(name, threeUsers)
	}
	c.startAll()
	for _, name := range names {
		client := c.dial(name)
		c.requireRefusal(client, "NOAUTH", "GET shop:k")
		c.requireRefusal(client, "WRONGPASS", "AUTH shop a")
		c.requireReply(client, "OK", "AUTH shop s")
		c.requireReply(client, "OK", "SET shop:k "+name)
		c.requireRefusal(client, "NOPERM", "GET other")
		c.requireReply(client, "OK", "AUTH report r")
		c.requireReply(client, name, "GET shop:k")
		c.requireRefusal(client, "NOPERM", "SET shop:k 1")
	}
}

// TestTheLeaderJudgesWhatOthersForward changes the leader's users alone: the node that a client has reached allows what it did.
func TestTheLeaderJudgesWhatOthersForward(t *testing.T) {
	c := newRedisTrio(t)
	for _, name := range names {
		c.setUsers(name, threeUsers)
	}
	c.startAll()
	leader, follower := c.leader(), c.follower()
	client := c.dial(follower)
	c.requireReply(client, "OK", "AUTH shop s")
	c.requireReply(client, "OK", "SET shop:k 1")

	c.setUsers(leader, strings.Replace(threeUsers, "~shop:* +@all", "~shop:* +@read", 1))
	c.awaitRefusal(client, "NOPERM", "SET shop:k 1")
	c.requireReply(client, "1", "GET shop:k")
	_, err := client.do([]string{"MULTI"}, []string{"SET", "shop:k", "2"}, []string{"EXEC"})
	require.ErrorContains(t, err, "EXECABORT ")
	c.requireReply(client, "1", "GET shop:k")

	c.setUsers(leader, strings.Replace(threeUsers, "user shop", "user other", 1))
	c.awaitRefusal(client, "NOPERM", "GET shop:k")
	c.requireRefusal(client, "NOPERM", "WATCH shop:k")
	c.requireReply(client, "shop", "ACL WHOAMI")

	c.setUsers(leader, threeUsers)
	got := ""
	waitUntil(t, func() bool {
		got, err = client.words("SET shop:k 3")
		return got == "OK"
	}, &got)
	c.setUsers(follower, strings.Replace(threeUsers, "user shop", "user other", 1))
	waitUntil(t, func() bool {
		_, err = client.words("PING")
		return err != nil
	}, new(string))
	require.False(t, errors.As(err, new(replyError)), "its connection is closed: %s", err)
	c.requireRefusal(c.dial(follower), "WRONGPASS", "AUTH shop s")
}

// TestAHangupLetsUsersBeReadAgain changes the file so that nothing but its bytes shows it.
func TestAHangupLetsUsersBeReadAgain(t *testing.T) {
	c := newRedisTrio(t)
	c.alone("a")
	c.setUsers("a", "user ada on >old ~* +@all\n")
	node, log := c.process("a")
	c.waitReady("a")
	client := c.dial("a")
	c.requireReply(client, "OK", "AUTH ada old")
	before, err := os.Stat(c.usersFile("a"))
	require.NoError(t, err)
	c.setUsers("a", "user ada on >new ~* +@all\n")
	require.NoError(t, os.Chtimes(c.usersFile("a"), before.ModTime(), before.ModTime()))
	require.NoError(t, node.Process.Signal(syscall.SIGHUP))
	waitUntil(t, func() bool { return strings.Contains(log.String(), "users were read again") }, new(string))
	_, err = client.words("PING")
	require.Error(t, err, "it has another password now")

	c.setUsers("a", "user ada on old\n")
	require.NoError(t, node.Process.Signal(syscall.SIGHUP))
	waitUntil(t, func() bool { return strings.Contains(log.String(), "the old ones stay") }, new(string))
	c.requireReply(c.dial("a"), "OK", "AUTH ada new")
	require.NotContains(t, log.String(), ">old")
}

func TestAHangupEndsNoNodeWithoutUsers(t *testing.T) {
	c := newTrio(t)
	c.alone("a")
	node, _ := c.process("a")
	c.waitReady("a")
	require.NoError(t, node.Process.Signal(syscall.SIGHUP))
	require.NoError(t, node.Process.Signal(syscall.SIGTERM))
	require.NoError(t, node.Wait(), "exit code 0")
}

func TestUsersThatCannotBeReadAreRefusedAtTheStart(t *testing.T) {
	c := newRedisTrio(t)
	path := c.usersFile("a")
	args := append(c.flags["a"], "--redis-users", path, "--admin", "127.0.0.1:0")
	var stderr bytes.Buffer
	require.Equal(t, exitFailed, run(soon(t), args, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "walnutd: --redis-users: stat "+path)

	stderr.Reset()
	c.setUsers("a", "\nuser ada on secret\n")
	require.Equal(t, exitFailed, run(soon(t), args, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "walnutd: --redis-users: "+path+": server: users: line 2: rule 2 of user ada: ")
	require.NotContains(t, stderr.String(), "secret")
	require.NoDirExists(t, filepath.Join(c.dir, "a"), "no node was opened")
}
