package server

// lcsCommands are in a view, since the work grows with the product of two lengths.
var lcsCommands = []command{
	{name: "lcs", arity: -3, class: scanning, run: longestCommon, keys: twoKeys},
}

// commonMax is how many pairs of places in two values LCS compares at most: what Redis does with its default
// configuration, where each of them takes four bytes of 512 MiB. Here each takes one bit, so 16 MiB.
const commonMax = 512 << 20 / 4

// lcsOptions are the options of LCS.
type lcsOptions struct {
	length     bool  // LEN
	matches    bool  // IDX
	withLength bool  // WITHMATCHLEN
	least      int64 // MINMATCHLEN
}

// take takes all options. It returns the error where they aren't right.
func (o *lcsOptions) take(args [][]byte) (problem string) {
	for ; len(args) > 0; args = args[1:] {
		switch {
		case is(args[0], "IDX"):
			o.matches = true
		case is(args[0], "LEN"):
			o.length = true
		case is(args[0], "WITHMATCHLEN"):
			o.withLength = true
		case is(args[0], "MINMATCHLEN") && len(args) > 1:
			var ok bool
			if o.least, ok = parseInt(args[1]); !ok {
				return errNotInteger
			}
			args = args[1:]
		default:
			return errSyntax
		}
	}
	if o.matches && o.length {
		return "ERR If you want both the length and indexes, please just use IDX."
	}
	return ""
}

// longestCommon is LCS.
func longestCommon(c *call) {
	var o lcsOptions
	if problem := o.take(c.args[3:]); problem != "" {
		c.fail(problem)
		return
	}
	a, _ := c.get(c.args[1])
	b, _ := c.get(c.args[2])
	if int64(len(a)+1)*int64(len(b)+1) > commonMax {
		c.fail("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
		return
	}
	common := newCommonTable(a, b, c.goesOn)
	switch {
	case common == nil:
	case o.matches:
		c.commonMatches(&o, common)
	case o.length:
		c.integer(int64(common.length))
	default:
		c.bulk(common.sequence())
	}
}

// commonTable finds a longest common subsequence of two values: of several, the one that Redis finds.
//
// For every place in both it knows one bit: whether the prefixes up to there have more in common without the last byte
// of the longer one than without the last one of the shorter one. With them it goes back from the ends.
type commonTable struct {
	long, short []byte
	swapped     bool // The longer value is the second. Then a tie is marked, too: Redis goes back in the second.
	marks       []uint64
	length      int
}

// newCommonTable returns nil where it may not go on. Its rows are as long as the shorter value, so that they take little memory.
func newCommonTable(a, b []byte, goesOn func() bool) *commonTable {
	swapped := len(b) > len(a)
	long, short := a, b
	if swapped {
		long, short = b, a
	}
	t := &commonTable{long: long, short: short, swapped: swapped, marks: make([]uint64, (len(a)*len(b)+63)/64)}
	row := make([]uint32, len(short)+1) // Lengths for the prefix of the longer value so far and each of the shorter one.
	for i := range long {
		if !goesOn() {
			return nil
		}
		diagonal := uint32(0)
		for j := range short {
			above, left := row[j+1], row[j]
			switch {
			case long[i] == short[j]:
				row[j+1] = diagonal + 1
			case above > left || above == left && swapped:
				t.mark(i, j)
			default:
				row[j+1] = left
			}
			diagonal = above
		}
	}
	t.length = int(row[len(short)])
	return t
}

func (t *commonTable) mark(i, j int) {
	place := i*len(t.short) + j
	t.marks[place/64] |= 1 << (place % 64)
}

func (t *commonTable) marked(i, j int) bool {
	place := i*len(t.short) + j
	return t.marks[place/64]&(1<<(place%64)) != 0
}

// match is a stretch that both values have: length bytes, from a place in each.
type match struct{ long, short, length int }

// walk goes back from the ends of both values and yields the stretches of the common subsequence, the last first.
func (t *commonTable) walk(yield func(match)) {
	i, j, length := len(t.long), len(t.short), 0
	finish := func() {
		if length > 0 {
			yield(match{i, j, length})
		}
		length = 0
	}
	for i > 0 && j > 0 {
		switch {
		case t.long[i-1] == t.short[j-1]:
			i, j, length = i-1, j-1, length+1
		case t.marked(i-1, j-1):
			finish()
			i--
		default:
			finish()
			j--
		}
	}
	finish()
}

func (t *commonTable) sequence() []byte {
	sequence := make([]byte, t.length)
	left := t.length
	t.walk(func(m match) {
		left -= m.length
		copy(sequence[left:], t.long[m.long:m.long+m.length])
	})
	return sequence
}

// commonMatches answers with the stretches that are long enough, and with the length of the whole.
func (c *call) commonMatches(o *lcsOptions, common *commonTable) {
	var matches []match
	common.walk(func(m match) {
		if int64(m.length) >= o.least {
			matches = append(matches, m)
		}
	})
	c.pairs(2)
	c.text("matches")
	c.array(len(matches))
	for _, m := range matches {
		if o.withLength {
			c.array(3)
		} else {
			c.array(2)
		}
		a, b := m.long, m.short
		if common.swapped {
			a, b = b, a
		}
		c.places(a, m.length)
		c.places(b, m.length)
		if o.withLength {
			c.integer(int64(m.length))
		}
	}
	c.text("len")
	c.integer(int64(common.length))
}

// places is the first and the last place of a stretch.
func (c *call) places(from, length int) {
	c.array(2)
	c.integer(int64(from))
	c.integer(int64(from + length - 1))
}
