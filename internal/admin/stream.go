package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Backup writes a backup of what the node shows, and returns its offset; where since isn't nil, an increment from that offset. After an error
// what was written is no backup.
func (c *Client) Backup(ctx context.Context, to io.Writer, since *uint64) (offset uint64, err error) {
	path := PathBackup
	if since != nil {
		path += "?since=" + strconv.FormatUint(*since, 10)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.scheme+"://"+c.address+path, nil)
	if err != nil {
		return 0, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, c.explain(err)
	}
	if response.StatusCode != http.StatusOK {
		return 0, c.read(response, nil)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(to, named{response.Body, c.address + ": the backup is not whole"}); err != nil {
		return 0, err
	}
	offset, err = strconv.ParseUint(response.Trailer.Get(OffsetTrailer), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: the backup is not whole: no offset follows it", c.address)
	}
	return offset, nil
}

// Restore makes the pairs of the cluster those of a backup, by way of the node, which must lead. It returns once that is done, or has failed:
// nothing limits how long that may take but ctx.
func (c *Client) Restore(ctx context.Context, backup io.Reader) (r Result, err error) {
	body := io.NopCloser(bodyReader{backup})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.scheme+"://"+c.address+PathRestore, body)
	if err != nil {
		return r, err
	}
	request.Header.Set("Content-Type", "application/octet-stream")
	request.Header.Set("Expect", "100-continue") // A node that refuses does so before it was sent anything.
	response, sent, err := c.send(request)
	if err == nil {
		err = c.read(response, &r)
	}
	var own bodyError
	switch {
	case errors.As(err, &own):
		return r, own.error
	case response != nil && !errors.As(err, new(*cutError)):
		return r, err
	case !sent:
		return r, c.explain(err)
	}
	return r, fmt.Errorf("%s: no answer came, so a part may be done: %w", c.address, cause(err))
}

// named gives the errors of a reader a name.
type named struct {
	io.Reader
	name string
}

// Read reads.
func (n named) Read(piece []byte) (int, error) {
	read, err := n.Reader.Read(piece)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %w", n.name, err)
	}
	return read, err
}

// bodyError is an error of reading what is to be sent, so that it isn't taken for one of the connection.
type bodyError struct{ error }

// bodyReader reads what is to be sent.
type bodyReader struct{ io.Reader }

// Read reads.
func (r bodyReader) Read(piece []byte) (int, error) {
	n, err := r.Reader.Read(piece)
	if err != nil && err != io.EOF {
		err = bodyError{err}
	}
	return n, err
}
