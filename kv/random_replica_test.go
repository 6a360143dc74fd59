package kv

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/walnutkv/walnut/kv/kvpb"
)

var (
	replicaSeed   = flag.Uint64("replica.seed", 1, "the first seed of the random histories of replicas")
	replicaRounds = flag.Int("replica.rounds", 12, "how many random histories of replicas there are")
)

// claims is what clients of a cluster were told of their commits, each of which has put another key.
type claims struct {
	mu        sync.Mutex
	done      map[string]bool
	refused   map[string]bool
	undecided map[string]bool
}

// note notes the outcome of a commit.
func (c *claims) note(t *testing.T, key string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.done[key] = true
	case errors.Is(err, ErrUndecided):
		c.undecided[key] = true
	case errors.Is(err, ErrNotLeader), errors.Is(err, ErrConflict), errors.Is(err, ErrClosed):
		c.refused[key] = true
	default:
		assert.NoError(t, err, "no outcome of a commit")
	}
}

// TestReplicasAgreeWhateverHappens is random histories of three nodes: leaders change and don't know of it, entries are late, come twice,
// are cut, nodes are restarted and are sent a state. In the end all states are equal; what was said to be done has happened, what was
// refused has not, and the undecided one or the other. A counter that transactions count has counted each that happened once.
func TestReplicasAgreeWhateverHappens(t *testing.T) {
	total := map[string]int{}
	for i := range uint64(*replicaRounds) {
		replicaHistory(t, *replicaSeed+i, total)
		if t.Failed() {
			return
		}
	}
	t.Logf("%v", total)
	for _, outcome := range []string{"done", "refused", "undecided", "installs", "conflicts", "archives", "gaps"} {
		if *replicaRounds >= 10 {
			require.Positive(t, total[outcome], "nothing of this ever happened: %s", outcome)
		}
	}
}

func commitAtRandom(r *Replica, dice *rand.Rand, key string) error {
	switch dice.IntN(4) {
	case 0:
		_, err := r.DB().Put([]byte(key), []byte("put"))
		return err
	case 1:
		var b Batch
		b.DeleteRange([]byte("shared/"), []byte("shared/"+strconv.Itoa(dice.IntN(5))))
		b.Put([]byte("shared/"+strconv.Itoa(dice.IntN(10))), []byte(key))
		b.Put([]byte(key), nil)
		_, err := r.DB().Apply(&b)
		return err
	}
	return r.DB().Update(func(tx *Tx) error {
		count := 0
		switch value, err := tx.Get([]byte("counter")); {
		case err == nil:
			count, _ = strconv.Atoi(string(value))
		case !errors.Is(err, ErrNotFound):
			return err
		}
		return errors.Join(tx.Put([]byte("counter"), []byte(strconv.Itoa(count+1))), tx.Put([]byte(key), []byte("counted")))
	})
}

// clients commit to whichever nodes there are until they are stopped.
func (p *parliament) clients(seed uint64, told *claims, stop context.Context) *sync.WaitGroup {
	var running sync.WaitGroup
	for client := range 4 {
		dice := rand.New(rand.NewPCG(seed, uint64(100+client)))
		running.Go(func() {
			for i := 0; stop.Err() == nil && i < 60 && !p.t.Failed(); i++ {
				p.mu.Lock()
				s := p.seats[dice.IntN(len(p.seats))]
				for _, other := range p.seats {
					if other.leads && dice.IntN(4) > 0 {
						s = other
					}
				}
				p.mu.Unlock()
				key := fmt.Sprintf("client/%d/%d", client, i)
				told.note(p.t, key, commitAtRandom(s.replica, dice, key))
			}
		})
	}
	return &running
}

// happen lets something happen to the nodes.
func (p *parliament) happen(dice *rand.Rand) {
	if dice.IntN(30) == 0 {
		p.restart(dice.IntN(len(p.seats)))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.seats[dice.IntN(len(p.seats))]
	if dice.IntN(30) == 0 {
		s.backUp()
	}
	switch dice.IntN(10) {
	case 0:
		s.elect()
	case 1:
		for _, b := range s.proposed { // Who proposed it waits no longer; it may still be agreed upon.
			b.answer(ErrUndecided)
		}
	case 2:
		pinned, err := s.replica.Snapshot()
		assert.NoError(p.t, err, p.replay)
		if dice.IntN(2) == 0 {
			s.apply(s.replica.Applied() + uint64(dice.IntN(3)))
		}
		assert.NoError(p.t, pinned.Keep(context.Background()), p.replay)
	case 3:
		first, last := s.replica.Log().Bounds()
		assert.NoError(p.t, s.replica.Log().DropFront(min(first+uint64(dice.IntN(20)), last+1, s.replica.Applied()+1)), p.replay)
	case 4, 5, 6:
		s.apply(s.replica.Applied() + uint64(1+dice.IntN(5)))
	default:
		if s.leads {
			s.replicate()
		}
	}
}

// replicaHistory is one random history.
func replicaHistory(t *testing.T, seed uint64, total map[string]int) {
	p := newParliament(t, seed, 3)
	p.replay = fmt.Sprintf("replay: go test ./kv -run %s -replica.seed=%d -replica.rounds=1", t.Name(), seed)
	defer p.close()
	p.seats[0].backUp() // Of nothing.
	told := &claims{done: map[string]bool{}, refused: map[string]bool{}, undecided: map[string]bool{}}
	stop, cancel := context.WithCancel(context.Background())
	running := p.clients(seed, told, stop)
	dice := rand.New(rand.NewPCG(seed, 17))
	finished := make(chan struct{})
	go func() {
		running.Wait()
		close(finished)
	}()
	for steps := 0; steps < 300 || !isClosed(finished); steps++ {
		p.happen(dice)
		runtime.Gosched()
		if t.Failed() {
			t.Log(strings.Join(p.events[max(0, len(p.events)-60):], "\n"))
			break
		}
	}
	cancel()
	p.settle()
	if t.Failed() {
		p.release()
	}
	running.Wait()
	if p.settle(); t.Failed() {
		return
	}
	p.requireAgreed(told, total)
	for outcome, keys := range map[string]map[string]bool{"done": told.done, "refused": told.refused, "undecided": told.undecided} {
		total[outcome] += len(keys)
	}
	total["installs"] += p.installs
	for _, refused := range p.refused {
		if refused {
			total["conflicts"]++
		}
	}
}

// requireAgreed requires that all nodes hold what was agreed upon, by a model that knows nothing of the store's code, and that clients were
// told the truth.
func (p *parliament) requireAgreed(told *claims, seen map[string]int) {
	want, counted, last := map[string]string{}, 0, uint64(0)
	after := []map[string]string{{}} // After each offset.
	for offset := uint64(1); offset <= p.seats[0].committed; offset++ {
		if after = append(after, maps.Clone(want)); p.changes(offset, want, &last) {
			after[offset] = maps.Clone(want)
		}
	}
	for _, value := range want {
		if value == "counted" {
			counted++
		}
	}
	for _, s := range p.seats {
		requireHolds(p.t, s.replica.DB(), linesOf(want)...)
		p.requireHistory(s, after)
		if s.number > 0 {
			p.requireArchived(s, after, seen)
		}
	}
	total, _ := strconv.Atoi(want["counter"])
	require.Equal(p.t, counted, total, p.replay)
	for key := range told.done {
		require.Contains(p.t, want, key, "%s: it was said to be done", p.replay)
	}
	for key := range told.refused {
		require.NotContains(p.t, want, key, "%s: it was said to be refused", p.replay)
	}
}

// requireHistory requires that a node shows the same live, of the past, and when it is opened again.
func (p *parliament) requireHistory(s *seat, after []map[string]string) {
	db, dice := s.replica.DB(), rand.New(rand.NewPCG(uint64(len(after)), 18))
	for range 5 {
		at := uint64(dice.IntN(len(after)))
		view, err := db.At(context.Background(), at)
		if errors.Is(err, ErrTruncated) {
			continue
		}
		require.NoError(p.t, err, p.replay)
		require.Equal(p.t, linesOf(after[at]), lines(view.Scan(Range{})), "%s: node %d at %d", p.replay, s.number, at)
	}
	first := db.Stats().First
	from, wanted := first+uint64(dice.IntN(max(1, len(after)-int(first)))), []uint64(nil)
	for offset := from; offset < uint64(len(after)); offset++ {
		if p.agreed[offset].Kind == kindCommand && !p.refused[offset] {
			wanted = append(wanted, offset)
		}
	}
	var got []uint64
	for c, err := range db.Commits(from) {
		require.NoError(p.t, err, p.replay)
		got = append(got, c.Offset)
	}
	require.Equal(p.t, wanted, got, "%s: node %d from %d", p.replay, s.number, from)

	opts := memOptions(s.mem.Exit())
	opts.ReadOnly = true
	reader, err := Open(storeDir, opts)
	require.NoError(p.t, err, p.replay)
	require.Equal(p.t, linesOf(after[reader.Offset()]), lines(reader.Scan(Range{})), "%s: node %d", p.replay, s.number)
	disk, err := OpenDiskView(context.Background(), storeDir, opts)
	require.NoError(p.t, err, p.replay)
	require.Equal(p.t, reader.Offset(), disk.Offset(), p.replay)
	var shown []string
	for pair, err := range disk.Scan(context.Background(), Range{}) {
		require.NoError(p.t, err, p.replay)
		shown = append(shown, string(pair.Key)+"="+string(pair.Value))
	}
	require.Equal(p.t, linesOf(after[reader.Offset()]), shown, "%s: node %d", p.replay, s.number)
	require.NoError(p.t, errors.Join(reader.Close(), disk.Close()), p.replay)
}

// changes applies what was agreed upon to a model, and reports whether it changed anything. last is the last commit that happened.
func (p *parliament) changes(offset uint64, want map[string]string, last *uint64) bool {
	e := p.agreed[offset]
	if e.Kind != kindCommand {
		return false
	}
	var c kvpb.Commit
	require.NoError(p.t, proto.Unmarshal(e.Data, &c), p.replay)
	refused := c.Mutations[0].Decision.GetBase() != *last
	require.Equal(p.t, refused, p.refused[offset], "%s: entry %d", p.replay, offset)
	if refused {
		return false
	}
	*last = offset
	for _, m := range c.Mutations[1:] {
		modelMutate(want, m)
	}
	return true
}

// linesOf returns pairs as lines does.
func linesOf(pairs map[string]string) (lines []string) {
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		lines = append(lines, key+"="+pairs[key])
	}
	return lines
}

func modelMutate(pairs map[string]string, m *kvpb.Mutation) {
	switch m.Kind {
	case kvpb.Kind_KIND_PUT:
		pairs[string(m.Key)] = string(m.Value)
	case kvpb.Kind_KIND_DELETE:
		delete(pairs, string(m.Key))
	case kvpb.Kind_KIND_DELETE_RANGE:
		for key := range pairs {
			if key >= string(m.Key) && (len(m.End) == 0 || key < string(m.End)) {
				delete(pairs, key)
			}
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
