package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/walnutkv/walnut/internal/admin"
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

// backup streams a backup of what this node shows, or with since=OFFSET an increment. The offset follows as a trailer. Where it breaks the
// connection does, too, before the last chunk: so no client takes it for whole.
func (d *daemon) backup(w http.ResponseWriter, r *http.Request) {
	node := d.node.Load()
	if node == nil {
		fail(w, http.StatusServiceUnavailable, errOpening)
		return
	}
	take := node.DB().Backup
	if text := r.URL.Query().Get("since"); text != "" {
		since, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			fail(w, http.StatusBadRequest, fmt.Errorf("since=%q is no offset", text))
			return
		}
		take = func(ctx context.Context, w io.Writer) (uint64, error) { return node.DB().BackupSince(ctx, w, since) }
	}
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
		fail(w, statusOf(err), err)
	}
}
