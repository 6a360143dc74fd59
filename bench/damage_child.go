package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"sync"
)

// damageVariable makes a process of this program a child that writes to an engine, or looks at what was damaged: it holds
// the damageSpec.
const damageVariable = "WALNUT_BENCH_DAMAGE_CHILD"

type damageSpec struct {
	Engine string
	Dir    string
	Pairs  uint64 // How many are acknowledged.
	Seed   uint64
	// Write asks the child to write that number of pairs, with a pause before the last one.
	Write uint64
	// Later is what the look before this one has written, 0 where there was none.
	Later uint64
}

// Sizes of values in bytes: of the acknowledged ones, and of the one that isn't, which is in more than one sector.
const (
	damageValue         = 120
	unacknowledgedValue = 900
)

func (s damageSpec) pair(i uint64) Pair {
	d := dataset{seed: s.Seed, keys: randomKeys, valueBytes: damageValue}
	if i == s.Pairs+unacknowledged {
		d.valueBytes = unacknowledgedValue
	}
	pair := Pair{make([]byte, d.keySize()), make([]byte, d.valueBytes)}
	d.key(pair.Key, i)
	d.value(pair.Value, i)
	pair.Value[d.valueBytes-1] |= 1 // The end of the data is where the last byte is that isn't zero.
	return pair
}

// Pairs that come after the acknowledged ones: one that is written and not acknowledged, and one that a look writes.
const (
	unacknowledged = 1
	laterPair      = 2
)

// look is what a child saw in a damaged directory. The parent adds how the child ended.
type look struct {
	Opened  bool
	Refused string   // Why it wasn't opened.
	Said    []string // What the engine's logger got.
	// Right, Wrong and Missing are acknowledged pairs, Failed those whose reading returned an error, and Panicked those whose reading
	// panicked.
	Right, Wrong, Missing, Failed, Panicked uint64
	Foreign                                 uint64 // Pairs that nothing wrote.
	FirstError                              string // Of reading.
	Checked                                 bool   // The engine has its own check,
	Check                                   string // which found this.
	Later                                   uint64 // The pair that was written after all that.
	LaterError                              string
	LaterLost                               bool // What the look before this one wrote isn't there.
	Died                                    string
	Hung                                    bool
}

func damageChild(specification string) {
	var spec damageSpec
	check(json.Unmarshal([]byte(specification), &spec))
	place := slices.IndexFunc(allEngines(), func(e engine) bool { return e.name == spec.Engine })
	if place < 0 {
		fatal("no engine %q", spec.Engine)
	}
	if spec.Write > 0 {
		spec.write(allEngines()[place])
		return
	}
	go dieWithParent()
	spec.look(allEngines()[place])
}

// write puts pairs, and prints a line before the last of them and after it, and waits. It never closes what it opened: the
// parent kills it.
func (s damageSpec) write(e engine) {
	k, err := e.open(s.Dir, func(string) {})
	check(err)
	input := bufio.NewReader(os.Stdin)
	wait := func() {
		fmt.Println("waiting")
		_, err := input.ReadByte()
		check(err) // The parent is gone.
	}
	for i := uint64(1); i <= s.Write; i++ {
		if i == s.Write {
			wait()
		}
		k.put(i, s.pair(i))
		if k.checkpoint != nil && (i == s.Pairs/3 || i == s.Pairs*2/3) {
			k.checkpoint()
		}
	}
	wait()
}

// failed is what a look catches of an error.
type failed struct{ message string }

// attempt calls a function, and returns the error or the panic that ended it.
func attempt(do func()) (failure string, panicked bool) {
	defer func() {
		switch reason := recover().(type) {
		case nil:
		case failed:
			failure = reason.message
		default:
			failure, panicked = fmt.Sprint("panic: ", reason), true
		}
	}()
	do()
	return "", false
}

// look opens what was damaged, reads every pair, and writes one more. It ends without closing anything, as a killed process
// does. What is known so far is printed before each step that may end the process.
func (s damageSpec) look(e engine) {
	debug.SetPanicOnFault(true) // A fault in mapped memory ends one read.
	fail = func(message string) { panic(failed{message}) }
	var seen look
	var said sayings
	print := func() {
		seen.Said = said.all()
		check(json.NewEncoder(os.Stdout).Encode(seen))
	}
	var k kept
	var err error
	failure, panicked := attempt(func() { k, err = e.open(s.Dir, said.add) })
	if panicked {
		seen.Died = failure
	} else if err != nil || failure != "" {
		seen.Refused = failure + errorText(err)
	}
	seen.Opened = seen.Died == "" && seen.Refused == ""
	print()
	if !seen.Opened {
		return
	}
	s.read(k, &seen)
	print()
	if seen.Panicked == 0 { // What a panic has left locked stays so.
		s.goOn(k, &seen)
		print()
	}
}

// sayings are the lines that an engine's logger gets, from any goroutine.
type sayings struct {
	mu    sync.Mutex
	lines []string
}

func (s *sayings) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

func (s *sayings) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// read judges every pair.
func (s damageSpec) read(k kept, seen *look) {
	keys := map[string]bool{}
	for i := uint64(1); i <= s.Pairs+laterPair; i++ {
		pair := s.pair(i)
		keys[string(pair.Key)] = true
		at := i
		if i == s.Pairs+laterPair {
			at = s.Later
		} else if i == s.Later {
			at = 0 // In a log, the record with that number is the later one.
		}
		var value []byte
		failure, panicked := "", false
		if at != 0 {
			failure, panicked = attempt(func() { value = k.get(at, pair) })
		}
		if seen.FirstError == "" {
			seen.FirstError = failure
		}
		acknowledged := i <= s.Pairs
		switch {
		case panicked:
			seen.Panicked++
		case failure != "":
			seen.Failed++
		case value != nil && string(value) != string(pair.Value):
			seen.Wrong++
		case value == nil && acknowledged:
			seen.Missing++
		case acknowledged:
			seen.Right++
		case i == s.Pairs+laterPair:
			seen.LaterLost = s.Later != 0 && value == nil
		}
	}
	if k.each != nil && seen.Panicked == 0 {
		attempt(func() {
			k.each(func(key []byte) {
				if !keys[string(key)] {
					seen.Foreign++
				}
			})
		})
	}
}

// goOn calls the engine's own check, and writes one more pair.
func (s damageSpec) goOn(k kept, seen *look) {
	if k.verify != nil {
		seen.Checked = true
		failure, _ := attempt(func() { seen.Check = errorText(k.verify()) })
		seen.Check += failure
	}
	if s.Later == 0 {
		seen.LaterError, _ = attempt(func() { seen.Later = k.put(s.Pairs+laterPair, s.pair(s.Pairs+laterPair)) })
	}
}

// decodeLook returns the last look that a child has printed.
func decodeLook(r io.Reader) (seen look) {
	for decoder := json.NewDecoder(r); ; {
		var next look
		if decoder.Decode(&next) != nil {
			return seen
		}
		seen = next
	}
}
