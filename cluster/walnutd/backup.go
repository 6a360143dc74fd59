package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/kv"
)

// stallTimeout is how long a caller may leave a piece of a backup unread, or let its next piece wait.
const stallTimeout = time.Minute

// pieces writes a backup piece by piece, each within its time.
type pieces struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	begun   bool
}

// Write writes a piece.
func (p *pieces) Write(piece []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(p.stall)); err != nil {
		return 0, err
	}
	p.begun = true
	return p.ResponseWriter.Write(piece)
}

// backup streams a backup of what this node shows, or with since=OFFSET an increment.
func (d *daemon) backup(w http.ResponseWriter, r *http.Request) {
	node := d.node.Load()
	if node == nil {
		admin.Fail(w, http.StatusServiceUnavailable, errOpening)
		return
	}
	take := node.DB().Backup
	if text := r.URL.Query().Get("since"); text != "" {
		since, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			admin.Fail(w, http.StatusBadRequest, fmt.Errorf("since=%q is no offset", text))
			return
		}
		take = func(ctx context.Context, w io.Writer) (uint64, error) { return node.DB().BackupSince(ctx, w, since) }
	}
	d.stream(w, r, take)
}

// stream answers with what is taken. The offset follows as a trailer. Where it breaks the connection does, too, before the last chunk: so
// no client takes it for whole.
func (d *daemon) stream(w http.ResponseWriter, r *http.Request, take func(ctx context.Context, w io.Writer) (uint64, error)) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", admin.OffsetTrailer)
	out := &pieces{ResponseWriter: w, control: http.NewResponseController(w), stall: d.stall}
	offset, err := take(r.Context(), out)
	switch {
	case err == nil:
		w.Header().Set(admin.OffsetTrailer, strconv.FormatUint(offset, 10))
	case out.begun:
		d.log.Warn("backup broke off", "node", d.flags.options.Node, "error", err)
		panic(http.ErrAbortHandler)
	default:
		w.Header().Del("Trailer")
		admin.Fail(w, statusOf(err), err)
	}
}

// uploaded reads a backup piece by piece, each within its time.
type uploaded struct {
	io.Reader
	control *http.ResponseController
	stall   time.Duration
}

// upload returns the body of a request as one.
func (d *daemon) upload(w http.ResponseWriter, r *http.Request) *uploaded {
	return &uploaded{r.Body, http.NewResponseController(w), d.stall}
}

// Read reads a piece. No limit stays after it: once the body has ended net/http waits for the caller to hang up, and takes a limit that has
// passed for that.
func (u *uploaded) Read(piece []byte) (int, error) {
	if err := u.control.SetReadDeadline(time.Now().Add(u.stall)); err != nil {
		return 0, err
	}
	n, err := u.Reader.Read(piece)
	return n, cmp.Or(err, u.control.SetReadDeadline(time.Time{}))
}

// restore makes the pairs of the cluster those of a backup, which is the body of the request. The node must lead.
func (d *daemon) restore(w http.ResponseWriter, r *http.Request) {
	node := d.node.Load()
	if node == nil {
		admin.Fail(w, http.StatusServiceUnavailable, errOpening)
		return
	}
	done, err := node.Restore(r.Context(), d.upload(w, r))
	admin.LimitTime(w)
	switch leader := node.Leader().Name; {
	case errors.Is(err, kv.ErrNotLeader) && leader == "":
		admin.Fail(w, http.StatusConflict, fmt.Errorf("%w; no leader is known", err))
	case errors.Is(err, kv.ErrNotLeader) && leader != d.flags.options.Node:
		admin.Fail(w, http.StatusConflict, fmt.Errorf("%w; ask node %q", err, leader))
	case errors.Is(err, kv.ErrCorrupt), errors.Is(err, kv.ErrMismatch):
		admin.Fail(w, http.StatusBadRequest, err)
	case err != nil:
		admin.Fail(w, statusOf(err), err)
	default:
		admin.WriteJSON(w, http.StatusOK, admin.Result{Kind: admin.KindResult, Node: d.flags.options.Node, Puts: &done.Puts, Deletes: &done.Deletes})
	}
}
