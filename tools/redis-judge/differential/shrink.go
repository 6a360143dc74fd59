package differential

import "time"

// shrink leaves out what a difference doesn't need, for at most the given time. It returns the steps that are left with
// the difference in them, which may be another one.
func shrink(steps []step, found *difference, limit time.Duration, run func([]step) *difference) ([]step, *difference) {
	end := time.Now().Add(limit)
	steps = steps[:min(found.at+1, len(steps))]
	for size := (len(steps) + 1) / 2; size > 0; size /= 2 {
		for from := 0; from < len(steps); {
			if time.Now().After(end) {
				return steps, found
			}
			fewer := append(append([]step(nil), steps[:from]...), steps[min(from+size, len(steps)):]...)
			if d := run(fewer); d != nil {
				steps, found = fewer[:min(d.at+1, len(fewer))], d
			} else {
				from += size
			}
		}
	}
	return steps, found
}
