package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// browser is a client with cookies of a server whose clock stands until it is moved.
type browser struct {
	t   *testing.T
	url string
	*http.Client
}

// newServer opens a store and returns what is needed to look at it, and to move its time.
func newServer(t *testing.T) (*sessions, *browser, func(time.Duration)) {
	t.Helper()
	var now atomic.Int64 // In nanoseconds; the store reads it at any time.
	now.Store(time.Now().UnixNano())
	clock := func() time.Time { return time.Unix(0, now.Load()) }
	db, err := kv.OpenMemory(kv.Options{Clock: clock})
	require.NoError(t, err)
	s := &sessions{db: db, ttl: 30 * time.Minute, now: clock}
	server := httptest.NewServer(handler(s))
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, db.Close())
	})
	return s, newBrowser(t, server.URL), func(by time.Duration) { now.Add(int64(by)) }
}

func newBrowser(t *testing.T, url string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{t, url, &http.Client{Jar: jar}}
}

func (b *browser) post(path string, form url.Values) int {
	b.t.Helper()
	response, err := b.PostForm(b.url+path, form)
	require.NoError(b.t, err)
	require.NoError(b.t, response.Body.Close())
	return response.StatusCode
}

func (b *browser) me() (int, string) {
	b.t.Helper()
	response, err := b.Get(b.url + "/me")
	require.NoError(b.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	return response.StatusCode, string(text)
}

func (b *browser) requireUser(want string) {
	b.t.Helper()
	code, text := b.me()
	require.Equal(b.t, http.StatusOK, code)
	require.Equal(b.t, want+"\n", text)
}

func (b *browser) requireNobody() {
	b.t.Helper()
	code, _ := b.me()
	require.Equal(b.t, http.StatusUnauthorized, code)
}

func TestASessionLastsFromLoginToLogout(t *testing.T) {
	_, ada, _ := newServer(t)
	bob := newBrowser(t, ada.url)
	ada.requireNobody()
	require.Equal(t, http.StatusBadRequest, ada.post("/login", nil))
	require.Equal(t, http.StatusNoContent, ada.post("/login", url.Values{"user": {"ada"}}))
	require.Equal(t, http.StatusNoContent, bob.post("/login", url.Values{"user": {"bob"}}))
	ada.requireUser("ada")
	bob.requireUser("bob")
	require.Equal(t, http.StatusNoContent, ada.post("/logout", nil))
	ada.requireNobody()
	bob.requireUser("bob")
}

func TestASessionExpiresUnlessItIsUsed(t *testing.T) {
	_, ada, pass := newServer(t)
	require.Equal(t, http.StatusNoContent, ada.post("/login", url.Values{"user": {"ada"}}))
	for range 4 { // Two hours, with a request every half an hour but a second.
		pass(30*time.Minute - time.Second)
		ada.requireUser("ada")
	}
	pass(30 * time.Minute)
	ada.requireNobody()
}

func TestASessionThatIsUsedOftenIsRarelyWritten(t *testing.T) {
	s, ada, pass := newServer(t)
	require.Equal(t, http.StatusNoContent, ada.post("/login", url.Values{"user": {"ada"}}))
	for range 30 {
		pass(time.Minute)
		ada.requireUser("ada")
	}
	require.LessOrEqual(t, s.db.Offset(), uint64(3))
}

func TestALogoutOfNobodyWritesNothing(t *testing.T) {
	s, nobody, _ := newServer(t)
	require.Equal(t, http.StatusNoContent, nobody.post("/logout", nil))
	require.Zero(t, s.db.Offset())
}

func TestASessionThatHasEndedDoesNotComeBack(t *testing.T) {
	s, _, _ := newServer(t)
	token, err := s.begin(t.Context(), "ada")
	require.NoError(t, err)
	require.NoError(t, s.end(token))
	require.ErrorIs(t, s.renew(t.Context(), token), errNoSession)
}

func TestTheStoreHoldsNothingToLogInWith(t *testing.T) {
	s, _, _ := newServer(t)
	token, err := s.begin(t.Context(), "ada")
	require.NoError(t, err)
	for key, value := range s.db.Scan(kv.Range{}) {
		require.NotContains(t, string(key)+string(value), token)
	}
}

func TestAStoreThatCannotWriteIsNoLoginError(t *testing.T) {
	s, ada, _ := newServer(t)
	require.NoError(t, s.db.Close())
	require.Equal(t, http.StatusServiceUnavailable, ada.post("/login", url.Values{"user": {"ada"}}))
}

func TestSessionsOutliveTheServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	serveOnce := func(use func(url string)) {
		on, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- run(ctx, dir, on, time.Minute) }()
		use("http://" + on.Addr().String())
		stop()
		require.NoError(t, <-ended)
	}
	ada := newBrowser(t, "")
	serveOnce(func(url string) {
		ada.url = url
		require.Equal(t, http.StatusNoContent, ada.post("/login", map[string][]string{"user": {"ada"}}))
	})
	serveOnce(func(url string) {
		ada.url = url
		ada.requireUser("ada")
	})
}
