package admin

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"
)

const (
	dialTimeout = 5 * time.Second
	answerMax   = 4 << 20 // More bytes than an answer has.
)

// Client asks one walnutd. It may be used concurrently.
type Client struct {
	address string
	scheme  string
	http    *http.Client
}

// NewClient returns a client of the admin listener at an address. tls is nil where that listens without.
func NewClient(address string, tls *tls.Config) *Client {
	c := &Client{address: address, scheme: "http"}
	if tls != nil {
		c.scheme = "https"
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, TLSClientConfig: tls, DisableKeepAlives: true,
			ExpectContinueTimeout: dialTimeout,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	return c
}

// Status asks who leads and how far each node is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.ask(ctx, http.MethodGet, PathStatus, nil, &s)
}

// Members asks for the members.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	var m Members
	err := c.ask(ctx, http.MethodGet, PathMembers, nil, &m)
	return m.Members, err
}

// Join lets a new node in, which is reached at an address.
func (c *Client) Join(ctx context.Context, node, address string) (r Result, err error) {
	return r, c.change(ctx, PathJoin, Join{node, address}, &r)
}

// Transfer lets a node lead; any one where the name is empty.
func (c *Client) Transfer(ctx context.Context, node string) (r Result, err error) {
	return r, c.change(ctx, PathTransfer, Change{node}, &r)
}

// Remove removes a member.
func (c *Client) Remove(ctx context.Context, node string) (r Result, err error) {
	return r, c.change(ctx, PathRemove, Change{node}, &r)
}

// Recover gives a cluster that has lost most of its voters other members, or says what that would do.
func (c *Client) Recover(ctx context.Context, what Recover) (r Recovery, err error) {
	if !what.Apply {
		return r, c.ask(ctx, http.MethodPost, PathRecover, what, &r) // A plan changes nothing.
	}
	return r, c.change(ctx, PathRecover, what, &r)
}

// UnansweredError is that of a change which a node was asked for, and whose answer didn't come. It may be done.
type UnansweredError struct {
	Address string // Of the node.
	Err     error  // Why no answer came.
}

func (e *UnansweredError) Error() string {
	return fmt.Sprintf("%s: no answer came, so it may be done: %v", e.Address, e.Err)
}

// Unwrap returns why no answer came.
func (e *UnansweredError) Unwrap() error { return e.Err }

// ask asks for what changes nothing.
func (c *Client) ask(ctx context.Context, method, path string, body, into any) error {
	return c.exchange(ctx, method, path, body, into, false)
}

// change asks for a change. The error is an UnansweredError if the change may be done.
func (c *Client) change(ctx context.Context, path string, body, into any) error {
	return c.exchange(ctx, http.MethodPost, path, body, into, true)
}

// exchange sends a request and reads the answer.
func (c *Client) exchange(ctx context.Context, method, path string, body, into any, changes bool) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.scheme+"://"+c.address+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, sent, err := c.send(request)
	if err == nil {
		err = c.read(response, into)
	}
	var cut *cutError
	switch {
	case errors.As(err, &cut) && changes:
		return &UnansweredError{c.address, cut.err}
	case response != nil:
		return err
	case sent && changes:
		return &UnansweredError{c.address, cause(err)}
	}
	return c.explain(err)
}

// send sends a request. It reports whether the node may have got it: a connection was made, and the node didn't refuse it.
func (c *Client) send(request *http.Request) (response *http.Response, sent bool, err error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	response, err = c.http.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	var alert *net.OpError
	refused := errors.As(err, &alert) && alert.Op == "remote error" // An alert of TLS, such as that a certificate is wanted.
	return response, connected.Load() && !refused, err
}

// cutError is that of an answer that broke off.
type cutError struct {
	address string
	err     error
}

func (e *cutError) Error() string {
	return fmt.Sprintf("%s: the answer is not whole: %v", e.address, e.err)
}

// Unwrap returns why it broke off.
func (e *cutError) Unwrap() error { return e.err }

// read reads an answer.
func (c *Client) read(response *http.Response, into any) error {
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerMax+1))
	switch {
	case err != nil:
		return &cutError{c.address, err}
	case len(answer) > answerMax:
		return fmt.Errorf("%s: the answer has more than %d bytes", c.address, answerMax)
	case response.StatusCode != http.StatusOK:
		return c.failure(response.Status, answer)
	}
	var object struct {
		Kind string `json:"kind"`
	}
	if err := errors.Join(json.Unmarshal(answer, &object), json.Unmarshal(answer, into)); err != nil {
		return fmt.Errorf("%s: the answer can't be read: %w", c.address, err)
	}
	if want := kindOf(into); object.Kind != want {
		return fmt.Errorf("%s: the answer is of the kind %q, not %q: is that a walnutd's admin listener?", c.address, object.Kind, want)
	}
	return nil
}

// kindOf returns the kind of an answer. An object that doesn't say it is of another program, and no sign that anything is done.
func kindOf(answer any) string {
	switch answer.(type) {
	case *Status:
		return KindCluster
	case *Members:
		return KindMembers
	case *Recovery:
		return KindRecovery
	}
	return KindResult
}

// ErrWantsTLS is the error of a client without certificates whose node listens with TLS.
var ErrWantsTLS = errors.New("the node listens with TLS")

// tlsHint is in what Go's HTTP server answers to a request without TLS.
const tlsHint = "HTTP request to an HTTPS server"

// explain says that no answer came since there is no node, or it doesn't take the connection.
func (c *Client) explain(err error) error {
	return fmt.Errorf("%s: no walnutd answers: %w", c.address, cause(err))
}

// cause takes the URL out of an error, since the address is named anyway. A connection that broke isn't wrapped: the caller may take a broken
// pipe for a reader of its output that has had enough.
func cause(err error) error {
	if unwrapped := errors.Unwrap(err); unwrapped != nil {
		err = unwrapped
	}
	if errors.Is(err, syscall.EPIPE) {
		return errors.New(err.Error())
	}
	return err
}

// failure is the error of an answer that is none of those wanted. What a terminal would not just print is left out of its text.
func (c *Client) failure(status string, answer []byte) error {
	var f Failure
	if json.Unmarshal(answer, &f) == nil && f.Error != "" {
		return fmt.Errorf("%s: %s", c.address, strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return -1
		}, f.Error))
	}
	if c.scheme == "http" && strings.Contains(string(answer), tlsHint) {
		return fmt.Errorf("%s: %w", c.address, ErrWantsTLS)
	}
	return fmt.Errorf("%s: %s", c.address, strings.ToLower(status))
}
