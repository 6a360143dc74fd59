package server

import (
	"bytes"
	"math/big"
)

// decimal is a number as Redis calculates INCRBYFLOAT: a long double of x86, which has 64 bits of mantissa.
type decimal struct{ number *big.Float }

// Bounds of a decimal.
const (
	decimalBits    = 64
	decimalTextMax = 5 << 10 // Redis reads no longer text.
	decimalExpMax  = 16384   // A number is less than 1<<16384.
	decimalExpMin  = -16444  // The least one but zero is 1<<-16445, which has this exponent in a big.Float.
	decimalDigits  = 17      // After the point, where a number is written.
	parseBits      = 512     // Enough to round a text once: only one that is closer to the middle of two numbers is taken for it.
)

// parseDecimal reads a number as C's strtold does, without spaces: decimal or hexadecimal, or an infinity.
func parseDecimal(text []byte) (decimal, bool) {
	unsigned := text
	if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
		unsigned = text[1:]
	}
	if is(unsigned, "inf") || is(unsigned, "infinity") {
		return decimal{new(big.Float).SetInf(text[0] == '-')}, true
	}
	base, ok := floatBase(unsigned)
	switch {
	case !ok || len(text) >= decimalTextMax:
		return decimal{}, false
	case isZero(unsigned, base):
		return decimal{new(big.Float)}, true // Whatever the exponent.
	}
	number, _, err := big.ParseFloat(string(text), base, parseBits, big.ToNearestEven)
	if err != nil || number.IsInf() {
		return decimal{}, false
	}
	number.SetPrec(decimalBits)
	return decimal{number}, number.Sign() != 0 && isInRange(number)
}

// isInRange reports whether a number is neither zero nor infinite as a long double. More than half of the least one becomes that.
func isInRange(number *big.Float) bool {
	var mantissa big.Float // From 0.5 to before 1.
	exponent := number.MantExp(&mantissa)
	if exponent == decimalExpMin-1 {
		return mantissa.MinPrec() > 1
	}
	return exponent >= decimalExpMin && exponent <= decimalExpMax
}

// isZero reports whether a text that is a number has no digit but zeros before its exponent.
func isZero(text []byte, base int) bool {
	exponent := "eE"
	if base == 0 {
		text, exponent = text[len("0x"):], "pP"
	}
	if at := bytes.IndexAny(text, exponent); at >= 0 {
		text = text[:at]
	}
	return len(bytes.Trim(text, "0.")) == 0
}

// floatBase returns the base of a text that is a number without a sign, 0 for the one that Go finds by its prefix.
func floatBase(text []byte) (base int, ok bool) {
	if len(text) > 2 && text[0] == '0' && text[1]|0x20 == 'x' {
		return 0, isFloat(text[2:], isHexDigit, 'p')
	}
	return 10, isFloat(text, isDigit, 'e')
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHexDigit(c byte) bool {
	_, ok := hexDigit(c)
	return ok
}

// isFloat reports whether a text is digits with at most one point, and maybe an exponent.
func isFloat(text []byte, isDigitOf func(byte) bool, exponent byte) bool {
	digits, points, i := 0, 0, 0
	for ; i < len(text) && (isDigitOf(text[i]) || text[i] == '.'); i++ {
		if text[i] == '.' {
			points++
		} else {
			digits++
		}
	}
	if digits == 0 || points > 1 || i == len(text) {
		return digits > 0 && points <= 1
	}
	if text[i]|0x20 != exponent {
		return false
	}
	i++
	if i < len(text) && (text[i] == '+' || text[i] == '-') {
		i++
	}
	from := i
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	return i > from && i == len(text)
}

// plus returns the sum, rounded once. It reports false where that isn't finite.
func (d decimal) plus(other decimal) (decimal, bool) {
	if d.number.IsInf() || other.number.IsInf() {
		return decimal{}, false
	}
	sum := new(big.Float).SetPrec(decimalBits).Add(d.number, other.number)
	return decimal{sum}, sum.MantExp(nil) <= decimalExpMax
}

// text returns the number without exponent, and without zeros at its end.
func (d decimal) text() []byte {
	text := d.number.Append(nil, 'f', decimalDigits)
	text = bytes.TrimSuffix(bytes.TrimRight(text, "0"), []byte{'.'})
	if string(text) == "-0" {
		return text[1:]
	}
	return text
}
