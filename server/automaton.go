package server

// automaton matches what follows the first * of a pattern in time in proportion to the text, whatever the pattern is. It has one state for
// each number of the pattern's bytes that may have been matched so far, and goes on with all of them at once, as bits of words.
type automaton struct {
	takes [256][automatonWords]uint64 // By byte: in which states it is the next one of the pattern.
	stays [automatonWords]uint64      // In which states any byte is part of a *.
	last  int                         // The state in which all is matched.
}

// automatonWords have a bit for each state: a pattern of globMax bytes with a * has as many at most.
const automatonWords = globMax / 64

// newAutomaton makes one for a pattern of at most globMax bytes that begins with *. It takes a fraction of a millisecond.
func newAutomaton(pattern []byte) *automaton {
	a := new(automaton)
	for size := 0; len(pattern) > 0; pattern = pattern[size:] {
		word, bit := a.last/64, uint64(1)<<(a.last%64)
		if pattern[0] == '*' {
			a.stays[word] |= bit
			size = 1
			continue
		}
		for b := range a.takes {
			taken := false
			if size, taken = matchByte(pattern, byte(b)); taken {
				a.takes[b][word] |= bit
			}
		}
		a.last++
	}
	return a
}

// matches reports whether the pattern matches a text.
func (a *automaton) matches(text []byte) bool {
	states := [automatonWords]uint64{1}
	words := a.last/64 + 1
	for _, b := range text {
		takes, carry := &a.takes[b], uint64(0)
		for i := range words {
			moved := states[i] & takes[i]
			states[i], carry = moved<<1|carry|states[i]&a.stays[i], moved>>63
		}
	}
	return states[a.last/64]>>(a.last%64)&1 != 0
}
