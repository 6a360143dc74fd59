package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/kv"
)

func TestANodeIsReadyOnceTheClusterIsMade(t *testing.T) {
	c := newTrio(t)
	c.start("a")
	why := ""
	waitUntil(t, func() bool {
		status, body := c.get("a", admin.PathReady)
		why = body
		return status == http.StatusServiceUnavailable && strings.Contains(body, "no leader")
	}, &why)
	status, body := c.get("a", admin.PathHealth)
	require.Equal(t, http.StatusOK, status, "a restart wouldn't help: %s", body)
	require.Equal(t, "ok\n", body)
	s, err := c.client("a").Status(soon(t))
	require.NoError(t, err)
	require.Empty(t, s.Leader)
	require.Len(t, s.Nodes, 1, "it knows no other one")
	members, err := c.client("a").Members(soon(t))
	require.NoError(t, err)
	require.Empty(t, members)
	c.start("b")
	c.start("c")
	for _, name := range names {
		c.waitReady(name)
	}
}

func TestStatusSaysWhoLeadsAndHowFarEachNodeIs(t *testing.T) {
	c := newTrio(t)
	c.startAll()
	c.put("key", "value")
	gone, leader := c.follower(), c.leader()
	for _, name := range names {
		c.requireShows(name, "key", "value")
	}
	s, err := c.client(gone).Status(soon(t))
	require.NoError(t, err)
	require.Equal(t, admin.KindCluster, s.Kind)
	require.Equal(t, "test", s.Cluster)
	require.Equal(t, gone, s.Node)
	require.Equal(t, leader, s.Leader)
	for i, n := range s.Nodes {
		require.Equal(t, names[i], n.Name)
		require.True(t, n.Voter)
		require.Empty(t, n.Error)
		require.Equal(t, n.Name == leader, n.Role == "leader")
		require.Equal(t, leader, n.Leader)
		require.Zero(t, n.Lag)
		require.NotZero(t, n.Applied)
		require.Equal(t, s.Nodes[0].Checksum, n.Checksum)
		require.Len(t, n.Checksum, 16)
		require.Empty(t, n.Trouble)
	}
	c.stop(gone)
	s, err = c.client(leader).Status(soon(t))
	require.NoError(t, err)
	at := slices.Index(names, gone)
	require.NotEmpty(t, s.Nodes[at].Error)
	require.Empty(t, s.Nodes[at].Role)
}

func TestMembersCanBeChanged(t *testing.T) {
	c := newTrio(t)
	c.startAll()
	for _, asked := range names {
		other := c.follower()
		r, err := c.client(asked).Transfer(soon(t), other)
		require.NoError(t, err)
		require.Equal(t, other, r.Node)
		waitUntil(t, func() bool { return c.leader() == other }, new(string))
	}
	before := c.leader()
	r, err := c.client(before).Transfer(soon(t), "")
	require.NoError(t, err)
	require.NotEqual(t, before, r.Node)
	_, err = c.client("a").Transfer(soon(t), "nobody")
	require.ErrorContains(t, err, `"nobody" is no voter`)
	removed := c.follower()
	_, err = c.client("a").Remove(soon(t), removed)
	require.NoError(t, err)
	members, err := c.client(c.leader()).Members(soon(t))
	require.NoError(t, err)
	require.Len(t, members, 2)
	require.Equal(t, admin.KindMember, members[0].Kind)
	_, err = c.client("a").Remove(soon(t), "")
	require.ErrorContains(t, err, "name is missing")
}

func TestANodeThatAsksNobodyIsLetIn(t *testing.T) {
	c := newTrio(t)
	c.startAll()
	c.put("key", "value")
	places := freeAddresses(t, 2)
	c.admin["d"] = places[1]
	c.flags["d"] = []string{
		"--dir", filepath.Join(c.dir, "d"), "--cluster", "test", "--id", "d", "--listen", places[0], "--insecure", "--admin", places[1],
		"--heartbeat", "400ms", "--lease", "300ms",
	}
	c.start("d")
	waitUntil(t, func() bool { return c.node("d") != nil }, new(string))
	_, err := c.client("a").Join(soon(t), "d", freeAddresses(t, 1)[0])
	require.ErrorContains(t, err, "there is no node")
	_, err = c.client("a").Join(soon(t), "e", places[0])
	require.ErrorContains(t, err, `is "d", not "e"`)
	r, err := c.client("a").Join(soon(t), "d", places[0])
	require.NoError(t, err)
	require.Equal(t, "d", r.Node)
	c.waitReady("d")
	c.requireShows("d", "key", "value")
	waitUntil(t, func() bool {
		members, err := c.client("d").Members(soon(t))
		return err == nil && len(members) == 4 && members[3].Voter
	}, new(string))
}

func TestALostQuorumIsRecovered(t *testing.T) {
	c := newTrio(t)
	c.startAll()
	c.put("key", "value")
	last := c.follower()
	c.requireShows(last, "key", "value")
	want := admin.Recover{Members: []admin.Member{{Name: last}}, Apply: true}
	_, err := c.client(last).Recover(soon(t), want)
	require.ErrorContains(t, err, "3 of 3 voters answer")
	for _, name := range names {
		if name != last {
			c.stop(name)
		}
	}
	plan, err := c.client(last).Recover(soon(t), admin.Recover{Members: want.Members})
	require.NoError(t, err)
	require.False(t, plan.Applied)
	require.Len(t, plan.Dropped, 2)
	require.NotZero(t, plan.Last)
	s, err := c.client(last).Status(soon(t))
	require.NoError(t, err)
	require.Len(t, s.Nodes, 3, "a plan changes nothing")
	done, err := c.client(last).Recover(soon(t), want)
	require.NoError(t, err)
	require.True(t, done.Applied)
	require.Equal(t, []admin.Member{{Kind: admin.KindMember, Name: last, Address: done.Members[0].Address, Voter: true}}, done.Members)
	c.waitReady(last)
	c.requireShows(last, "key", "value")
	c.put("key", "again")
}

func TestRequestsThatCanNotBeReadAreRefused(t *testing.T) {
	c := newTrio(t)
	c.startAll()
	for _, row := range []struct {
		name, method, path, body, origin string
		want                             int
	}{
		{"no JSON", "POST", admin.PathRemove, "a", "", http.StatusBadRequest},
		{"a member that isn't known", "POST", admin.PathRemove, `{"nodes":["a"]}`, "", http.StatusBadRequest},
		{"nothing", "POST", admin.PathTransfer, "", "", http.StatusBadRequest},
		{"more than a request has", "POST", admin.PathRemove, `{"node":"` + strings.Repeat("a", requestMax) + `"}`, "", http.StatusBadRequest},
		{"a page in a browser", "POST", admin.PathRemove, `{"node":"a"}`, "http://elsewhere.example", http.StatusForbidden},
		{"a page that has named this machine", "GET", admin.PathBackup, "", "host", http.StatusMisdirectedRequest},
		{"a wrong method", "GET", admin.PathRemove, "", "", http.StatusMethodNotAllowed},
		{"no offset", "GET", admin.PathBackup + "?since=x", "", "", http.StatusBadRequest},
		{"an increment from an offset that is to come", "GET", admin.PathBackup + "?since=1000000", "", "", http.StatusConflict},
		{"no such path", "GET", "/", "", "", http.StatusNotFound},
	} {
		t.Run(row.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), row.method, "http://"+c.admin["a"]+row.path, strings.NewReader(row.body))
			require.NoError(t, err)
			switch row.origin {
			case "":
			case "host":
				request.Host = "elsewhere.example:7070"
			default:
				request.Header.Set("Origin", row.origin)
			}
			answer, err := http.DefaultClient.Do(request)
			require.NoError(t, err)
			defer func() { _ = answer.Body.Close() }()
			require.Equal(t, row.want, answer.StatusCode)
			if row.want == http.StatusBadRequest || row.want == http.StatusConflict {
				var f admin.Failure
				require.NoError(t, json.NewDecoder(answer.Body).Decode(&f))
				require.Equal(t, admin.KindError, f.Kind)
				require.NotEmpty(t, f.Error)
			}
		})
	}
	members, err := c.client("a").Members(soon(t))
	require.NoError(t, err)
	require.Len(t, members, 3)
}

func TestMetricsAreThoseOfTheStoreAndTheNode(t *testing.T) {
	c := newTrio(t)
	c.startAll()
	c.put("key", "value")
	status, page := c.get("b", admin.PathMetrics)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, `walnut_cluster_members{cluster="test",node="b"} 3`)
	require.Contains(t, page, `walnut_keys{cluster="test",node="b"} `)
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is missing (Debian: prometheus)")
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(page)
	said, err := check.CombinedOutput()
	require.NoError(t, err, "%s", said)
	require.Empty(t, string(said))
}

func TestABackupHasItsOffsetAndIncrementsOutliveAFailover(t *testing.T) {
	c := newTrio(t)
	c.startAll()
	c.put("key", "1")
	take := func(name, query string) ([]byte, uint64) {
		answer, err := http.Get("http://" + c.admin[name] + admin.PathBackup + query)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		bytes, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		offset, err := strconv.ParseUint(answer.Trailer.Get(admin.OffsetTrailer), 10, 64)
		require.NoError(t, err)
		return bytes, offset
	}
	leader := c.leader()
	whole, offset := take(leader, "")
	c.stop(leader)
	c.put("key", "2")
	increment, last := take(c.leader(), "?since="+strconv.FormatUint(offset, 10))
	require.Greater(t, last, offset)
	dir := filepath.Join(t.TempDir(), "restored")
	restored, err := kv.Restore(t.Context(), bytes.NewReader(whole), dir, kv.RestoreOptions{Increments: []io.Reader{bytes.NewReader(increment)}})
	require.NoError(t, err)
	require.Equal(t, last, restored)
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	value, err := db.Get([]byte("key"))
	require.NoError(t, err)
	require.Equal(t, "2", string(value))
}

func TestABackupIsRestoredIntoTheRunningCluster(t *testing.T) {
	c := newTrio(t)
	c.startAll()
	c.put("key", "1")
	var backup bytes.Buffer
	_, err := c.node(c.leader()).DB().Backup(t.Context(), &backup)
	require.NoError(t, err)
	c.put("key", "2")
	c.put("other", "3")
	post := func(name string, body io.Reader) (status int, text string) {
		answer, err := http.Post("http://"+c.admin[name]+admin.PathRestore, "application/octet-stream", body)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		said, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(said)
	}
	said := ""
	until := func(want int, name func() string, body []byte) { // The leadership may be lost on a busy machine.
		waitUntil(t, func() (as bool) {
			var status int
			status, said = post(name(), bytes.NewReader(body))
			return status == want
		}, &said)
	}
	until(http.StatusConflict, c.follower, backup.Bytes())
	require.Contains(t, said, "doesn't lead")
	until(http.StatusBadRequest, c.leader, []byte("nonsense"))
	until(http.StatusOK, c.leader, backup.Bytes())
	require.Contains(t, said, `"puts":`)
	for _, name := range names {
		c.requireShows(name, "key", "1")
	}
}

// TestAClientTakesABackupAndRestoresIt takes one on a follower, and restores it by way of each node.
func TestAClientTakesABackupAndRestoresIt(t *testing.T) {
	c := newTrio(t)
	c.startAll()
	c.put("key", "1")
	from := c.follower()
	c.requireShows(from, "key", "1")
	var backup, increment bytes.Buffer
	offset, err := c.client(from).Backup(soon(t), &backup, nil)
	require.NoError(t, err)
	c.put("key", "2")
	last, err := c.client(c.leader()).Backup(soon(t), &increment, &offset)
	require.NoError(t, err)
	require.Greater(t, last, offset)
	_, err = c.client(from).Backup(soon(t), io.Discard, new(uint64(1<<40)))
	require.ErrorContains(t, err, c.admin[from]+": ")

	why := ""
	waitUntil(t, func() bool { // The leadership may be lost on a busy machine.
		_, err := c.client(c.follower()).Restore(soon(t), bytes.NewReader(backup.Bytes()))
		why = fmt.Sprint(err)
		return strings.Contains(why, "doesn't lead") || strings.Contains(why, `ask node "`)
	}, &why)
	waitUntil(t, func() bool {
		r, err := c.client(c.leader()).Restore(soon(t), bytes.NewReader(backup.Bytes()))
		why = fmt.Sprint(err)
		return err == nil && *r.Deletes == 0
	}, &why)
	for _, name := range names {
		c.requireShows(name, "key", "1")
	}
	waitUntil(t, func() bool {
		_, err := c.client(c.leader()).Restore(soon(t), strings.NewReader(strings.Repeat("nonsense", 1<<20)))
		why = fmt.Sprint(err)
		return strings.Contains(why, "damage") || strings.Contains(why, "no backup")
	}, &why)
}

// TestARestoreThatNoNodeCanTakeNamesNone asks a node whose cluster isn't made yet.
func TestARestoreThatNoNodeCanTakeNamesNone(t *testing.T) {
	c := newTrio(t)
	c.start("a")
	why := ""
	waitUntil(t, func() bool {
		_, err := c.client("a").Restore(soon(t), strings.NewReader("pairs"))
		why = fmt.Sprint(err)
		return !strings.Contains(why, errOpening.Error()) && !strings.Contains(why, "no walnutd answers")
	}, &why)
	require.Regexp(t, "doesn't lead.*; no leader is known$", why)
}

// receive lets a daemon whose limit is short read what is sent to it, and once more after its end as a reader may, and hands what came of
// that to a function.
func receive(t *testing.T, body io.Reader, then func(r *http.Request, received []byte, err error)) {
	d := newDaemon(&flags{}, io.Discard)
	d.stall = 200 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := d.upload(w, r)
		received, err := io.ReadAll(body)
		if err == nil {
			_, end := body.Read(make([]byte, 1))
			assert.ErrorIs(t, end, io.EOF)
		}
		then(r, received, err)
	}))
	defer server.Close()
	answer, err := http.Post(server.URL, "application/octet-stream", body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
}

func TestARestoreMayTakeLongerThanItsUpload(t *testing.T) {
	receive(t, strings.NewReader("all of it"), func(r *http.Request, received []byte, err error) {
		assert.NoError(t, err)
		assert.Equal(t, "all of it", string(received))
		select {
		case <-r.Context().Done():
			t.Error("the caller waits, and is taken for gone")
		case <-time.After(time.Second):
		}
	})
}

func TestAnUploadThatStallsIsGivenUp(t *testing.T) {
	body, more := io.Pipe()
	go func() { _, _ = more.Write([]byte("half of it")) }() // It ends with the test.
	receive(t, body, func(_ *http.Request, received []byte, err error) {
		assert.Equal(t, "half of it", string(received))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.NoError(t, more.Close())
	})
}

func TestABackupThatFailsIsNotTakenForWhole(t *testing.T) {
	for _, written := range []int{0, 1, 1 << 20} {
		d := newDaemon(&flags{}, io.Discard)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d.stream(w, r, func(_ context.Context, w io.Writer) (uint64, error) {
				if written > 0 {
					_, err := w.Write(make([]byte, written))
					require.NoError(t, err)
				}
				return 0, kv.ErrFailed
			})
		}))
		answer, err := http.Get(server.URL)
		if written == 0 {
			require.NoError(t, err)
			require.Equal(t, http.StatusInternalServerError, answer.StatusCode)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			require.Equal(t, written > 0, err != nil, "%d bytes: %v", written, err)
			require.Empty(t, answer.Trailer.Get(admin.OffsetTrailer))
			require.NoError(t, answer.Body.Close())
		}
		server.Close()
	}
}

// TestABackupThatBreaksIsNotTakenForWhole ends the node in the middle of one.
func TestABackupThatBreaksIsNotTakenForWhole(t *testing.T) {
	c, name := newTrio(t), "a"
	c.alone(name)
	c.start(name)
	c.waitReady(name)
	for i := range 16 { // More than the buffers between have room for, so that it waits for its reader.
		value := make([]byte, 1<<20)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(value) // It never fails.
		c.put(strconv.Itoa(i), string(value))
	}
	answer, err := http.Get("http://" + c.admin[name] + admin.PathBackup)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	_, err = io.ReadFull(answer.Body, make([]byte, 1000))
	require.NoError(t, err)
	n := c.nodes[name]
	delete(c.nodes, name)
	n.stop()
	select {
	case err := <-n.ended:
		require.NoError(t, err)
	case <-time.After(3 * admin.EndTimeout):
		t.Fatal("it waits for a reader")
	}
	_, err = io.Copy(io.Discard, answer.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Empty(t, answer.Trailer.Get(admin.OffsetTrailer))
}

func TestAClientSaysWhatIsWrong(t *testing.T) {
	_, err := admin.NewClient(freeAddresses(t, 1)[0], nil).Status(soon(t))
	require.ErrorContains(t, err, "no walnutd answers")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = admin.NewClient(freeAddresses(t, 1)[0], nil).Status(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
