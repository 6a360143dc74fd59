package wal

// stretch is a run of frames that were read after they were proven durable.
type stretch struct {
	at      *scanner // After the last.
	first   uint64   // The log's first offset, as the last mark says; 0 where there is none.
	records []anchor
}

// anchor is where a record's frame stands, and the chain of the frames before it.
type anchor struct {
	position int64
	chain    uint32
}

// stretch reads the frames after the store's end up to a position. An error that isScanStop knows means that they have changed.
func (s *store) stretch(upTo int64) (stretch, error) {
	run := stretch{at: s.from(s.end, s.next, s.chain)}
	run.at.limit = upTo
	for run.at.position < upTo {
		chain := run.at.chain
		f, err := run.at.frame()
		switch {
		case err != nil:
			return run, err
		case f.kind == kindRecord:
			run.records = append(run.records, anchor{f.position, chain})
		case f.kind.isSeal():
			return run, errNotFrame
		default:
			b, err := f.bounds(chain)
			if err != nil {
				return run, errNotFrame // Chains differ where frames have changed.
			}
			run.first = b.first
		}
	}
	return run, nil
}
