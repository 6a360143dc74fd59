package kernel

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// writers say what the writers of a store do: one step after another, each a commit that leaves other pairs of its writer's than
// there were. So what is in a store shows which steps have happened.
type writers struct {
	Count int // How many there are.
	Kept  int // How many steps' pairs a step leaves; it deletes older ones.
	Bytes int // Of the value of a step's pair.
}

func (w writers) left(writer int) []byte  { return fmt.Appendf(nil, "%d/left", writer) }
func (w writers) right(writer int) []byte { return fmt.Appendf(nil, "%d/right", writer) }

func (w writers) pair(writer, step int) []byte { return fmt.Appendf(nil, "%d/pair/%09d", writer, step) }

// value returns noise that begins with the step.
func (w writers) value(writer, step int) []byte {
	value := fmt.Appendf(make([]byte, 0, w.Bytes+20), "%d ", step)
	if size := len(value); size < w.Bytes {
		value = value[:w.Bytes]
		seed := [32]byte{byte(writer)}
		copy(seed[1:], value[:size])
		_, _ = rand.NewChaCha8(seed).Read(value[size:])
	}
	return value
}

// step does a writer's step.
func (w writers) step(db *kv.DB, writer, step int) error {
	var b kv.Batch
	b.Put(w.left(writer), fmt.Append(nil, step))
	b.DeleteRange(w.pair(writer, 0), w.pair(writer, max(0, step-w.Kept+1)))
	b.Put(w.pair(writer, step), w.value(writer, step))
	b.Put(w.right(writer), fmt.Append(nil, step))
	_, err := db.Apply(&b)
	return err
}

// after returns a writer's pairs after a step.
func (w writers) after(writer, step int) map[string]string {
	pairs := map[string]string{}
	if step == 0 {
		return pairs
	}
	pairs[string(w.left(writer))], pairs[string(w.right(writer))] = fmt.Sprint(step), fmt.Sprint(step)
	for i := max(1, step-w.Kept+1); i <= step; i++ {
		pairs[string(w.pair(writer, i))] = string(w.value(writer, i))
	}
	return pairs
}

// judge knows which steps were acknowledged.
type judge struct {
	writers
	mu    sync.Mutex
	steps []int // By writer: the last one that was acknowledged, or found.
}

func newJudge(w writers) *judge { return &judge{writers: w, steps: make([]int, w.Count)} }

func (j *judge) acknowledged(writer, step int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps[writer] = max(j.steps[writer], step)
}

// sum returns how many steps there were.
func (j *judge) sum() (steps int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, step := range j.steps {
		steps += step
	}
	return steps
}

// reader is a store as the judge looks at it.
type reader interface {
	Scan(r kv.Range) iter.Seq2[[]byte, []byte]
}

// find returns each writer's last step in a store, or an error where what is there is not the outcome of whole steps, of all that
// were acknowledged and at most one more.
func (j *judge) find(store reader) (steps []int, err error) {
	j.mu.Lock()
	least := append([]int(nil), j.steps...)
	j.mu.Unlock()
	for writer := range j.Count {
		found, step := map[string]string{}, 0
		for key, value := range store.Scan(kv.Range{Prefix: fmt.Appendf(nil, "%d/", writer)}) {
			found[string(key)] = string(value)
		}
		if left := found[string(j.left(writer))]; left != "" {
			if _, err := fmt.Sscan(left, &step); err != nil {
				return nil, err
			}
		}
		switch {
		case step < least[writer]:
			return nil, fmt.Errorf("writer %d: step %d was acknowledged, and %d is the last one there", writer, least[writer], step)
		case step > least[writer]+1:
			return nil, fmt.Errorf("writer %d: step %d is there, and only %d was acknowledged", writer, step, least[writer])
		case !maps.Equal(found, j.after(writer, step)):
			return nil, fmt.Errorf("writer %d: %d pairs are not those after step %d", writer, len(found), step)
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// require opens a store, requires what was acknowledged of it, and closes it. The writers go on from what was found.
func (j *judge) require(t *testing.T, dir string, opts kv.Options) {
	t.Helper()
	db, err := kv.Open(dir, opts)
	require.NoError(t, err)
	j.requireIn(t, db)
	require.NoError(t, db.Close())
	requireSound(t, dir)
}

// requireIn requires what was acknowledged of an open store.
func (j *judge) requireIn(t *testing.T, db *kv.DB) {
	t.Helper()
	steps, err := j.find(db)
	require.NoError(t, err)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps = steps
}

// requireSound requires that Check finds no damage in a store.
func requireSound(t *testing.T, dir string) {
	t.Helper()
	violations, err := kv.Check(context.Background(), dir, kv.Options{})
	require.NoError(t, err)
	for _, violation := range violations {
		require.False(t, violation.Damage, "%+v", violation)
	}
}

// write lets each writer take a number of steps, or fewer where one is refused. It returns why each ended. What was
// acknowledged is passed to said, if that isn't nil.
func (j *judge) write(db *kv.DB, steps int, said func(writer, step int)) []error {
	ends := make([]error, j.Count)
	var all sync.WaitGroup
	for writer := range j.Count {
		first := j.steps[writer] + 1
		all.Go(func() {
			for step := first; step < first+steps; step++ {
				if ends[writer] = j.step(db, writer, step); ends[writer] != nil {
					break
				}
				if j.acknowledged(writer, step); said != nil {
					said(writer, step)
				}
			}
		})
	}
	all.Wait()
	return ends
}

// TestTheJudgeFindsBrokenPromises gives it stores that are not what was acknowledged.
func TestTheJudgeFindsBrokenPromises(t *testing.T) {
	w := writers{Count: 2, Kept: 3, Bytes: 10}
	for _, c := range []struct {
		name  string
		spoil func(db *kv.DB, j *judge) error
		want  string
	}{
		{"all is there", func(*kv.DB, *judge) error { return nil }, ""},
		{"and the step after it", func(db *kv.DB, _ *judge) error { return w.step(db, 1, 6) }, ""},
		{"an acknowledged step is missing", func(_ *kv.DB, j *judge) error { j.acknowledged(0, 6); return nil }, "step 6 was acknowledged"},
		{"a step that nobody took is there", func(_ *kv.DB, j *judge) error { j.steps[0] = 3; return nil }, "only 3 was acknowledged"},
		{"half a step", func(db *kv.DB, _ *judge) error { _, err := db.Put(w.left(1), []byte("6")); return err }, "not those after step 6"},
		{"a pair has gone", func(db *kv.DB, _ *judge) error { _, err := db.Delete(w.pair(0, 4)); return err }, "not those after step 5"},
		{"a value is another one", func(db *kv.DB, _ *judge) error { _, err := db.Put(w.pair(0, 4), nil); return err }, "not those after step 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, err := kv.OpenMemory(kv.Options{})
			require.NoError(t, err)
			defer func() { require.NoError(t, db.Close()) }()
			j := newJudge(w)
			for _, err := range j.write(db, 5, nil) {
				require.NoError(t, err)
			}
			require.NoError(t, c.spoil(db, j))
			_, err = j.find(db)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

// text returns an error in one line.
func text(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
