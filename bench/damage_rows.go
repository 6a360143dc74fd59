package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
)

// state is a directory of an engine whose process was killed, and what is known of its last write.
type state struct {
	dir    string // Each damage gets a copy.
	before string // What it was before the last write.
	last   span   // What the last write has changed.
}

// scene is an engine's states, and where its data is in the first of them.
type scene struct {
	engine
	spec damageSpec
	dir  string // For data.
	// The process was killed after the last acknowledged write, after one more, or after it had been idle since the last.
	killed, unanswered, idle state
	logs, tables             []span
	others                   []span               // All other files that hold something, but for locks and messages.
	usual                    map[string]bool      // What the engine says without damage; see pattern.
	outcomes                 map[string][]outcome // By the damage's id.
}

// damage is a row of the matrix.
type damage struct {
	id    string
	title string
	from  func(s *scene) state
	// repeated says that the damage is at another place each time.
	repeated bool
	// apply damages a copy of the state, and says what it did: nothing where it can't be done, or not as often.
	apply func(s *scene, dir string, rng *rand.Rand, time int) (what string, err error)
}

func killed(s *scene) state     { return s.killed }
func unanswered(s *scene) state { return s.unanswered }
func idle(s *scene) state       { return s.idle }

// cutBytes is how much is cut of a write or a file.
const cutBytes = 7

var damages = []damage{
	{id: "kill", title: "none: the process was killed", from: killed, apply: leave},
	{id: "torn", title: "torn tail: the last write, not acknowledged, lacks its last 7 bytes", from: unanswered, apply: tear(unanswered, lastBytes)},
	{id: "sector", title: "torn tail: the same, but its last sector of 512 bytes never arrived", from: unanswered, apply: tear(unanswered, lastSector)},
	{id: "acknowledged", title: "the last acknowledged write lacks its last 7 bytes", from: killed, apply: tear(killed, lastBytes)},
	{id: "idle", title: "the same, after the process had been idle for 2 s", from: idle, apply: tear(idle, lastBytes)},
	{id: "short", title: "the log was cut 7 bytes before its data's end", from: killed, apply: shorten},
	{id: "garbage", title: "64 random bytes after the data's end", from: killed, apply: garbage},
	{id: "zeros", title: "4 KiB of zeros at the log's end", from: killed, apply: zeros},
	{id: "log-bit", title: "log: one bit flipped", from: killed, repeated: true, apply: within(inLogs, flip)},
	{id: "log-zeros", title: "log: 16 bytes zeroed", from: killed, repeated: true, apply: within(inLogs, erase)},
	{id: "table-bit", title: "table or snapshot: one bit flipped", from: killed, repeated: true, apply: within(inTables, flip)},
	{id: "table-zeros", title: "table or snapshot: 16 bytes zeroed", from: killed, repeated: true, apply: within(inTables, erase)},
	{id: "other-bit", title: "another file, such as an index or a manifest: one bit flipped", from: killed, repeated: true, apply: within(inOthers, flip)},
	{id: "deleted", title: "a file deleted, not the newest", from: killed, repeated: true, apply: remove},
	{id: "swapped", title: "two files of a kind have each other's names", from: killed, repeated: true, apply: swap},
}

func leave(*scene, string, *rand.Rand, int) (string, error) { return "–", nil }

// lastBytes and lastSector return from where on a write is torn.
func lastBytes(written span) int64 { return written.to - cutBytes }

func lastSector(written span) int64 {
	const sector = 512
	return max(written.from, (written.to-1)/sector*sector)
}

func tear(of func(s *scene) state, place func(written span) int64) func(s *scene, dir string, rng *rand.Rand, time int) (string, error) {
	return func(s *scene, dir string, _ *rand.Rand, _ int) (string, error) {
		written := of(s)
		from := place(written.last)
		return base("%s: from %d to %d", written.last.file, from, written.last.to), unwrite(dir, written.before, written.last, from)
	}
}

func shorten(s *scene, dir string, _ *rand.Rand, _ int) (string, error) {
	file, end, err := s.dataEnd(dir)
	if err != nil {
		return "", err
	}
	return base("%s: cut at %d", file, end-cutBytes), os.Truncate(filepath.Join(dir, file), end-cutBytes)
}

func garbage(s *scene, dir string, rng *rand.Rand, _ int) (string, error) {
	file, end, err := s.dataEnd(dir)
	if err != nil {
		return "", err
	}
	random := make([]byte, 64)
	fill(random, rng.Uint64())
	return base("%s: from %d", file, end), writeAt(filepath.Join(dir, file), random, end)
}

func zeros(s *scene, dir string, _ *rand.Rand, _ int) (string, error) {
	file, _, err := s.dataEnd(dir)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(filepath.Join(dir, file))
	if err != nil {
		return "", err
	}
	return base("%s: from %d", file, info.Size()), writeAt(filepath.Join(dir, file), make([]byte, 4<<10), info.Size())
}

func writeAt(name string, content []byte, at int64) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(content, at)
	return errors.Join(err, file.Close())
}

// hurting damages a file at a position, and says how.
type hurting func(file string, at int64, rng *rand.Rand) (string, error)

func inLogs(s *scene) []span   { return s.logs }
func inTables(s *scene) []span { return s.tables }
func inOthers(s *scene) []span { return s.others }

// within damages a file somewhere in spans.
func within(spans func(s *scene) []span, hurt hurting) func(*scene, string, *rand.Rand, int) (string, error) {
	return func(s *scene, dir string, rng *rand.Rand, _ int) (string, error) {
		if len(spans(s)) == 0 {
			return "", nil
		}
		file, at := somewhere(rng, spans(s))
		what, err := hurt(filepath.Join(dir, file), at, rng)
		return base("%s: ", file) + what, err
	}
}

func flip(file string, at int64, rng *rand.Rand) (string, error) {
	bit := rng.IntN(8)
	return fmt.Sprintf("bit %d of byte %d", bit, at), change(file, func(content []byte) { content[at] ^= 1 << bit })
}

func erase(file string, at int64, _ *rand.Rand) (string, error) {
	return fmt.Sprintf("from %d", at), change(file, func(content []byte) { clear(content[at:min(at+16, int64(len(content)))]) })
}

// remove removes another file each time.
func remove(s *scene, dir string, _ *rand.Rand, time int) (string, error) {
	logs := holders(s.logs)
	files := shuffled(s.spec.Seed, append(logs[:max(0, len(logs)-1)], holders(s.tables)...))
	if time >= len(files) {
		return "", nil
	}
	return path.Base(files[time]), os.Remove(filepath.Join(dir, files[time]))
}

// swap takes two other files each time.
func swap(s *scene, dir string, _ *rand.Rand, time int) (string, error) {
	var pairs [][2]string
	for _, files := range [][]string{holders(s.logs), holders(s.tables)} {
		for i, one := range files {
			for _, other := range files[i+1:] {
				pairs = append(pairs, [2]string{one, other})
			}
		}
	}
	if pairs = shuffled(s.spec.Seed, pairs); time >= len(pairs) {
		return "", nil
	}
	one, other := pairs[time][0], pairs[time][1]
	return base("%s and %s", one, path.Base(other)), exchange(dir, one, other)
}

func shuffled[T any](seed uint64, list []T) []T {
	rng := rand.New(rand.NewPCG(seed, 0))
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}
