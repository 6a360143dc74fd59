package differential

import (
	"math"
	"strconv"
	"strings"
)

// keys are the keys of all streams. There are few, so that commands meet.
var keys = []string{
	"k1", "k2", "k3", "K1", "user:1", "", "\x00\xff\r\n", "a*b[c]?\\", "a b", "ключ", strings.Repeat("long", 75),
}

// key returns one of the keys; most often one of the first three.
func (g *generator) key() string {
	if g.chance(3) {
		return keys[g.IntN(len(keys))]
	}
	return keys[g.IntN(3)]
}

// someKeys returns a few keys, some of them twice.
func (g *generator) someKeys() []string {
	some := []string{g.key()}
	for g.chance(2) {
		some = append(some, g.key())
	}
	return some
}

// value returns one to store: a number as often as not, so that counters find some.
func (g *generator) value() string {
	switch g.IntN(10) {
	case 0, 1:
		return strconv.Itoa(g.IntN(41) - 20)
	case 2:
		return g.strange()
	case 3:
		return g.decimal()
	case 4:
		return strings.Repeat(g.pick("x", "ab", "\x00\xff", "é"), g.IntN(60))
	case 5:
		if g.chance(20) {
			return strings.Repeat("0123456789", g.IntN(10_000))
		}
	}
	return g.pick("", "a", "abc", "hello world", "foobar", "\r\n", "\x00", "OK", "ohmytext", "mynewtext")
}

// strange returns what is a number, or nearly one, or another thing than a command may expect.
func (g *generator) strange() string {
	return g.pick(
		"", " ", "0", "-0", "+1", "01", " 1", "1 ", "1.0", "0x10", "1e3", "abc", "-", "-1", "\x00", "NX", "EX", "k1",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"18446744073709551615", "18446744073709551616", "4294967296", "inf", "-inf", "+inf", "nan", "1e400", "1e-400",
		"0.1", ".5", "5.", "-.5e1", "3.0", "3.0e3", "1_000", "1,5", "99999999999999999999999999", "0.30000000000000004",
		"1.7976931348623157e308", "123456789012345678901234567890.5", "17179869184", "0b1", "Infinity", "1p3", "٣",
	)
}

// integer returns a number as INCRBY takes it.
func (g *generator) integer() string {
	switch g.IntN(8) {
	case 0:
		return g.strange()
	case 1:
		return strconv.FormatInt(g.Int64()-math.MaxInt64/2, 10)
	}
	return strconv.Itoa(g.IntN(2001) - 1000)
}

// small returns a number as GETRANGE and SETRANGE take it: no value gets large by it.
func (g *generator) small() string {
	if g.chance(12) {
		return g.pick("-1", "abc", "1.0", "-9223372036854775808", "9223372036854775807", "536870912", "4294967296", "")
	}
	return strconv.Itoa(g.IntN(30) - 10)
}

// bit returns the place of a bit. To read one, it may lie as far as Redis allows; to write one it doesn't, since values
// have less room in Walnut.
func (g *generator) bit(reads bool) string {
	switch {
	case g.chance(12):
		return g.pick("-1", "abc", "", "1.0", "4294967296", "9223372036854775807", "01", " 1", "#1")
	case reads && g.chance(12):
		return g.pick("4294967295", "268435456", "268435455")
	}
	return strconv.Itoa(g.IntN(200))
}

// decimal returns a number as INCRBYFLOAT takes it.
func (g *generator) decimal() string {
	switch g.IntN(4) {
	case 0:
		return strconv.FormatFloat(math.Round(g.Float64()*2e6-1e6)/1000, 'f', -1, 64)
	case 1:
		return strconv.FormatFloat((g.Float64()*2-1)*math.Pow(10, float64(g.IntN(24)-4)), 'g', -1, 64)
	case 2:
		return g.strange()
	}
	return g.pick("0.1", "0.2", "-0.3", "1", "-1", "1e2", "3.14", "10.50", "5.0e3", "0.0000001", "1e17", "-1e-10")
}

// The units of time that commands take, in milliseconds.
const (
	seconds = 1000
	millis  = 1
)

// lifetime returns a time to live. Those that are accepted are far apart, so that which of two is longer doesn't depend
// on when they are set.
func (g *generator) lifetime(unit int64) string {
	if g.chance(8) {
		return g.pick(
			"0", "-1", "abc", "", "1.5", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
			"9223372036854775", "9223372036854", "9223372036", "99999999999", "-9223372036854775",
		)
	}
	return strconv.FormatInt((2*soon+g.Int64N(1e8))*1000/unit, 10)
}

// instant returns a time since 1970, in the past as often as not.
func (g *generator) instant(unit int64) string {
	switch g.IntN(6) {
	case 0, 1:
		return g.pick("1", "1000", "1500000000")
	case 2:
		return g.lifetime(unit)
	}
	return strconv.FormatInt((2_000_000_000+g.Int64N(2e9))*1000/unit, 10)
}

// pattern returns a pattern of keys.
func (g *generator) pattern() string {
	return g.pick(
		"*", "*", "k*", "k?", "k[12]", "k[^1]", "k[!1]", "k[1-2]", "k[2-1]", "[kK]1", "\\k1", "", "[", "k[", "k[1",
		"k\\", "*1", "**", "?*", "[]", "[^]*", "a\\*b\\[c\\]\\?\\\\", "*\r\n", "?\xff*", "user:*", "a b", "k1", "*long",
		"l*g*l*g", "[a-z]*", "к*",
	)
}
