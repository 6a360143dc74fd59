package server

import (
	"math"

	"github.com/walnutkv/walnut/kv"
)

// overflow says what a field becomes that can't hold its new number.
type overflow uint8

const (
	wraps     overflow = iota // The lowest bits of the number.
	saturates                 // The nearest number that it can hold.
	refuses                   // What it was.
)

// field is a part of a value that is a number.
type field struct {
	signed bool
	bits   int64
	at     int64 // Its first bit.
}

// fieldStep is one of the steps of BITFIELD.
type fieldStep struct {
	field
	kind     fieldKind
	operand  int64
	overflow overflow
}

type fieldKind uint8

const (
	fieldGet fieldKind = iota
	fieldSet
	fieldAdd
)

const errFieldType = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."

// parseFieldType reads what a field is: i or u, and how many bits.
func parseFieldType(arg []byte) (f field, ok bool) {
	arg = beforeZero(arg)
	if len(arg) == 0 || arg[0] != 'i' && arg[0] != 'u' {
		return f, false
	}
	f.signed = arg[0] == 'i'
	most := int64(63)
	if f.signed {
		most = 64
	}
	f.bits, ok = parseInt(arg[1:])
	return f, ok && f.bits >= 1 && f.bits <= most
}

// place reads where a field begins: a bit, or after # how many fields of its size come before it. limit is how many bits
// there can be.
func (f *field) place(arg []byte, limit int64) (ok bool) {
	scale := int64(1)
	if len(arg) > 0 && arg[0] == '#' {
		arg, scale = arg[1:], f.bits
	}
	at, ok := parseInt(arg)
	if !ok || at < 0 || at > (limit-1)/scale {
		return false
	}
	f.at = at * scale
	return true
}

// end returns the bit after the field.
func (f field) end() int64 { return f.at + f.bits }

// load reads the field's number.
func (f field) load(value []byte) int64 {
	var n uint64
	for i := range f.bits {
		n = n<<1 | uint64(bitAt(value, f.at+i))
	}
	return f.fit(n)
}

// store writes a number that the field can hold into a value that has the field.
func (f field) store(value []byte, n int64) {
	for i := range f.bits {
		putBit(value, f.at+i, byte(uint64(n)>>(f.bits-1-i)&1))
	}
}

// fit returns the number that the lowest bits of another one are in the field.
func (f field) fit(n uint64) int64 {
	spare := 64 - f.bits
	if f.signed {
		return int64(n<<spare) >> spare
	}
	return int64(n << spare >> spare)
}

// limits returns the lowest and the highest number that the field can hold.
func (f field) limits() (low, high int64) {
	if f.signed {
		return math.MinInt64 >> (64 - f.bits), math.MaxInt64 >> (64 - f.bits)
	}
	return 0, math.MaxInt64 >> (63 - f.bits)
}

// next returns what the field is after a number was added to another one, which is one that it holds unless add is 0. It
// reports false where it stays as it was.
func (s *fieldStep) next(n, add int64) (result int64, ok bool) {
	low, high := s.limits()
	negative := !s.signed && n < 0 // To Redis it is a number over all that the field can hold.
	// Redis takes a number close to the lowest of 64 bits for one that is too large: the distance from it needs more bits.
	far := s.signed && s.bits < 64 && n < high-math.MaxInt64
	over := negative || far || n > high || add > 0 && n > high-add
	under := n < low || add < 0 && (n < 0 && add < low-n || n >= 0 && n+add < low)
	switch {
	case !over && !under:
		return n + add, true
	case s.overflow == refuses:
		return 0, false
	case s.overflow == wraps:
		return s.fit(uint64(n) + uint64(add)), true
	case over:
		return high, true
	}
	return low, true
}

// takeFieldSteps reads the steps of BITFIELD, or returns the error.
func takeFieldSteps(args [][]byte) (steps []fieldStep, problem string) {
	var over overflow
	for len(args) > 0 {
		if is(args[0], "OVERFLOW") && len(args) > 1 {
			switch {
			case is(args[1], "WRAP"):
				over = wraps
			case is(args[1], "SAT"):
				over = saturates
			case is(args[1], "FAIL"):
				over = refuses
			default:
				return nil, "ERR Invalid OVERFLOW type specified"
			}
			args = args[2:]
			continue
		}
		one, size, problem := takeFieldStep(args)
		if problem != "" {
			return nil, problem
		}
		one.overflow = over
		steps, args = append(steps, one), args[size:]
	}
	return steps, ""
}

// takeFieldStep reads the step at the start of arguments, and returns how many it has.
func takeFieldStep(args [][]byte) (s fieldStep, size int, problem string) {
	kind, size, limit := fieldGet, 3, int64(bitReadMax)
	switch {
	case is(args[0], "GET"):
	case is(args[0], "SET"):
		kind, size, limit = fieldSet, 4, kv.MaxValueSize*8
	case is(args[0], "INCRBY"):
		kind, size, limit = fieldAdd, 4, kv.MaxValueSize*8
	default:
		return s, 0, errSyntax
	}
	if len(args) < size {
		return s, 0, errSyntax
	}
	var ok bool
	if s.field, ok = parseFieldType(args[1]); !ok {
		return s, 0, errFieldType
	}
	if !s.place(args[2], limit) || kind != fieldGet && s.end() > limit {
		return s, 0, errBitOffset
	}
	if kind != fieldGet {
		if s.operand, ok = parseInt(args[3]); !ok {
			return s, 0, errNotInteger
		}
	}
	s.kind = kind
	return s, size, ""
}

// changeFields is BITFIELD.
func changeFields(c *call) {
	key := c.args[1]
	steps, problem := takeFieldSteps(c.args[2:])
	if problem != "" {
		c.fail(problem)
		return
	}
	before, _ := c.get(key)
	size := int64(0)
	for _, s := range steps {
		if s.kind != fieldGet {
			size = max(size, (s.end()+7)/8)
		}
	}
	value := before
	if size > 0 { // What is only read needs no copy.
		value = resized(before, size)
	}
	results, changed := takeSteps(steps, value)
	if !changed && len(value) == len(before) || c.put(key, value, c.deadline(key)) {
		c.fields(results)
	}
}

// readFields is BITFIELD_RO.
func readFields(c *call) {
	steps, problem := takeFieldSteps(c.args[2:])
	for _, s := range steps {
		if s.kind != fieldGet {
			problem = "ERR BITFIELD_RO only supports the GET subcommand"
		}
	}
	if problem != "" {
		c.fail(problem)
		return
	}
	value, _ := c.get(c.args[1])
	results, _ := takeSteps(steps, value)
	c.fields(results)
}

// fieldResult is what a step answers with.
type fieldResult struct {
	n       int64
	refused bool // The field can't hold its new number.
}

// takeSteps takes steps on a value, which is changed. It has all fields but those that are only read.
func takeSteps(steps []fieldStep, value []byte) (results []fieldResult, changed bool) {
	for i := range steps {
		s := &steps[i]
		was := s.load(value)
		if s.kind == fieldGet {
			results = append(results, fieldResult{n: was})
			continue
		}
		n, add := s.operand, int64(0)
		if s.kind == fieldAdd {
			n, add = was, s.operand
		}
		next, ok := s.next(n, add)
		if ok {
			s.store(value, next)
			changed = changed || next != was
		}
		if s.kind == fieldAdd {
			was = next
		}
		results = append(results, fieldResult{was, !ok})
	}
	return results, changed
}

// fields answers with the results of steps.
func (c *call) fields(results []fieldResult) {
	c.array(len(results))
	for _, one := range results {
		if one.refused {
			c.null()
		} else {
			c.integer(one.n)
		}
	}
}
