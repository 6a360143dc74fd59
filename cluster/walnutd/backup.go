package main

import (
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

// stallTimeout is how long the reader of a backup may leave a piece of it unread.
const stallTimeout = time.Minute

// pieces writes a backup piece by piece, each within its time.
type pieces struct {
	http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// Write writes a piece.
func (p *pieces) Write(piece []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
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
	out := &pieces{ResponseWriter: w, control: http.NewResponseController(w)}
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
}

// Read reads a piece.
func (u *uploaded) Read(piece []byte) (int, error) {
	if err := u.control.SetReadDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return u.Reader.Read(piece)
}

// restore makes the pairs of the cluster those of a backup, which is the body of the request. The node must lead.
func (d *daemon) restore(w http.ResponseWriter, r *http.Request) {
	node := d.node.Load()
	if node == nil {
		admin.Fail(w, http.StatusServiceUnavailable, errOpening)
		return
	}
	control := http.NewResponseController(w)
	done, err := node.Restore(r.Context(), &uploaded{r.Body, control})
	admin.LimitTime(w)
	switch leader := node.Leader().Name; {
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
