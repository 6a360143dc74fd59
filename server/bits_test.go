package server_test

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	bitOffset = "-ERR bit offset is not an integer or out of range"
	syntax    = "-ERR syntax error"
	noInteger = "-ERR value is not an integer or out of range"
)

func TestBitsAreReadWrittenAndCountedAsRedisDoes(t *testing.T) {
	play(t, []scene{
		{"SETBIT answers with the bit before, and makes a value longer", []step{
			{"SETBIT a 7 1", "0"},
			{"GET a", `"\x01"`},
			{"SETBIT a 7 0", "1"},
			{"SETBIT a 100 0", "0"},
			{"STRLEN a", "13"},
			{"GETBIT a 1000", "0"},
			{"GETBIT missing 0", "0"},
			{"SETBIT a 268435455 1", "0"},
			{"STRLEN a", "33554432"},
		}},
		{"SETBIT keeps the deadline", []step{{"SET a foobar EX 100", "OK"}, {"SETBIT a 0 1", "0"}, {"TTL a", "100"}}},
		{"bits that can't be are refused", []step{
			{"SETBIT a -1 0", bitOffset},
			{"SETBIT a x 0", bitOffset},
			{"SETBIT a 268435456 0", bitOffset},
			{"SETBIT a 1 2", "-ERR bit is not an integer or out of range"},
			{"SETBIT a x x", bitOffset},
			{"GETBIT a 4294967295", "0"},
			{"GETBIT a 4294967296", bitOffset},
			{`SETBIT "" 1 1`, "-ERR the key is empty, which this store can't hold"},
		}},
		{"a bit that stays as it was is no change", []step{
			{"SETBIT a 1 1", "0"},
			{"WATCH a", "OK"},
			{"SETBIT a 1 1", "1"},
			{"MULTI", "OK"},
			{"EXEC", "[]"},
		}},
		{"BITCOUNT counts in bytes or bits", []step{
			{"SET b foobar", "OK"},
			{"BITCOUNT b", "26"},
			{"BITCOUNT b 0 0", "4"},
			{"BITCOUNT b 1 1 BYTE", "6"},
			{"BITCOUNT b 5 30 bit", "17"},
			{"BITCOUNT b -3 -1", "10"},
			{"BITCOUNT b -1 -3", "0"},
			{"BITCOUNT b 1", syntax},
			{"BITCOUNT b x 1", noInteger},
			{"BITCOUNT b 1 2 FOO", syntax},
			{"BITCOUNT missing x x", "0"},
		}},
		{"BITPOS finds the first, and zeros after the value unless its end is given", []step{
			{`SET p "\xff\xf0\x00"`, "OK"},
			{"BITPOS p 0", "12"},
			{"BITPOS p 1 2", "-1"},
			{"BITPOS p 0 2", "16"},
			{"BITPOS p 1 7 15 BIT", "7"},
			{"BITPOS p 0 7 11 BIT", "-1"},
			{`SET f "\xff\xff"`, "OK"},
			{"BITPOS f 0", "16"},
			{"BITPOS f 0 0", "16"},
			{"BITPOS f 0 0 -1", "-1"},
			{"BITPOS f 0 5", "-1"},
			{"BITPOS missing 0", "0"},
			{"BITPOS missing 1", "-1"},
			{"BITPOS f 2", "-ERR The bit argument must be 1 or 0."},
			{"BITPOS f x", noInteger},
			{"BITPOS f 0 0 -1 FOO", syntax},
			{"BITPOS f 0 0 -1 BIT FOO", syntax},
		}},
		{"BITOP goes on with zeros after a value", []step{
			{`MSET p "\xff\xf0\x00" f "\xff\xff"`, "OK"},
			{"SET d 1 EX 100", "OK"},
			{"BITOP AND d p f", "3"},
			{"GET d", `"\xff\xf0\x00"`},
			{"TTL d", "-1"},
			{"BITOP and d f p", "3"},
			{"GET d", `"\xff\xf0\x00"`},
			{"BITOP OR d p f", "3"},
			{"GET d", `"\xff\xff\x00"`},
			{"BITOP XOR d p f missing", "3"},
			{"GET d", `"\x00\x0f\x00"`},
			{"BITOP XOR d p", "3"},
			{"GET d", `"\xff\xf0\x00"`},
			{"BITOP NOT p p", "3"},
			{"GET p", `"\x00\x0f\xff"`},
			{"BITOP NOT d p f", "-ERR BITOP NOT must be called with a single source key."},
			{"BITOP FOO d p", syntax},
			{"BITOP OR d missing", "0"},
			{"EXISTS d", "0"},
		}},
	})
}

func TestFieldsAreNumbersOfAnySize(t *testing.T) {
	const kind = "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
	play(t, []scene{
		{"what doesn't fit wraps, saturates or is refused", []step{
			{"BITFIELD m INCRBY i5 100 1 GET u4 0", "[1 0]"},
			{"BITFIELD m SET i8 0 -200 GET i8 0 GET u8 0 GET u4 #1", "[0 56 56 8]"},
			{
				"BITFIELD m OVERFLOW SAT SET i8 0 200 INCRBY i8 0 -1 INCRBY i8 0 -999 OVERFLOW FAIL INCRBY i8 0 -1 SET u2 0 4 " +
					"overflow wrap incrby u2 0 7",
				"[56 126 -128 nil nil 1]",
			},
			{"BITFIELD m OVERFLOW SAT SET u8 0 -1", "[64]"},
			{"BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775808 SET i8 0 -9223372036854775680 GET i8 0", "[0 127 -128]"},
			{"BITFIELD k OVERFLOW SAT SET i64 0 -9223372036854775808 GET i64 0", "[-9223372036854775808 -9223372036854775808]"},
			{
				"BITFIELD m SET u8 0 -1 INCRBY u8 0 -9223372036854775808 INCRBY i64 0 -9223372036854775808",
				"[255 255 9151314442816847872]",
			},
			{"BITFIELD n OVERFLOW FAIL SET u1 100 5", "[nil]"},
			{"STRLEN n", "13"},
		}},
		{"what only reads makes no value", []step{
			{"BITFIELD o GET u8 0", "[0]"},
			{"BITFIELD o", "[]"},
			{"BITFIELD_RO o GET i64 4294967295", "[0]"},
			{"EXISTS o", "0"},
		}},
		{"steps that can't be are refused, and none is taken", []step{
			{"BITFIELD m GET u64 0", kind},
			{"BITFIELD m GET i65 0", kind},
			{"BITFIELD m GET u 0", kind},
			{"BITFIELD m GET u8 -1", bitOffset},
			{"BITFIELD m GET u8 #x", bitOffset},
			{"BITFIELD m GET i64 #9223372036854775807", bitOffset},
			{"BITFIELD m SET u8 268435449 1", bitOffset},
			{"BITFIELD m SET u8 0 1 OVERFLOW FOO", "-ERR Invalid OVERFLOW type specified"},
			{"BITFIELD m SET u8 0 1 SET u8 0 x", noInteger},
			{"BITFIELD m SET u8 0 1 SET u8 0", syntax},
			{"BITFIELD m FOO", syntax},
			{"BITFIELD_RO m SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"},
			{"EXISTS m", "0"},
			{`BITFIELD "" SET u8 0 1`, "-ERR the key is empty, which this store can't hold"},
		}},
	})
}

// TestBitsAreFoundAndCountedAsOneByOne compares with what GETBIT says of each bit.
func TestBitsAreFoundAndCountedAsOneByOne(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	c := newClient(t)
	for range 30 {
		value := bytes.Repeat([]byte{byte(random.IntN(2) * 0xff)}, random.IntN(40))
		often := 1 + random.IntN(30) // Some have runs of bytes that are the same.
		for i := 0; i < len(value); i += 1 + random.IntN(often) {
			value[i] = byte(random.IntN(2)*0xff) &^ byte(random.IntN(4)<<random.IntN(7))
		}
		require.Equal(t, "OK", c.do("SET", "a", string(value)))
		var bits strings.Builder
		for i := range len(value) * 8 {
			bits.WriteString(c.words("GETBIT a " + strconv.Itoa(i)))
		}
		for range 10 {
			start, end := random.IntN(len(value)*8+1), random.IntN(len(value)*8+1)
			part := bits.String()[min(start, end+1):min(end+1, bits.Len())]
			places := strconv.Itoa(start) + " " + strconv.Itoa(end) + " BIT"
			require.Equal(t, strconv.Itoa(strings.Count(part, "1")), c.words("BITCOUNT a "+places), places)
			for _, bit := range []string{"0", "1"} {
				want := strings.Index(part, bit)
				if want >= 0 {
					want += start
				}
				require.Equal(t, strconv.Itoa(want), c.words("BITPOS a "+bit+" "+places), places)
			}
		}
	}
}

// TestBitsAreCombinedAsOneByOne compares BITOP with what it does to each byte alone.
func TestBitsAreCombinedAsOneByOne(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	c := newClient(t)
	for range 100 {
		values := make([][]byte, 1+random.IntN(3))
		size := 0
		for i := range values {
			values[i] = make([]byte, 1+random.IntN(40))
			for j := range values[i] {
				values[i][j] = byte(random.Uint32())
			}
			size = max(size, len(values[i]))
			require.Equal(t, "OK", c.do("SET", strconv.Itoa(i), string(values[i])))
		}
		for name, combine := range map[string]func(a, b byte) byte{
			"AND": func(a, b byte) byte { return a & b },
			"OR":  func(a, b byte) byte { return a | b },
			"XOR": func(a, b byte) byte { return a ^ b },
			"NOT": func(a, _ byte) byte { return ^a },
		} {
			args := []string{"BITOP", name, "to"}
			want := make([]byte, size)
			copy(want, values[0])
			for i, value := range values {
				args = append(args, strconv.Itoa(i))
				whole := make([]byte, size)
				copy(whole, value)
				for j := range want {
					if i > 0 || name == "NOT" {
						want[j] = combine(want[j], whole[j])
					}
				}
			}
			if name == "NOT" && len(values) > 1 {
				continue
			}
			require.Equal(t, strconv.Itoa(size), c.do(args...))
			require.Equal(t, strconv.Quote(string(want)), c.words("GET to"), "%s %x", name, values)
		}
	}
}
