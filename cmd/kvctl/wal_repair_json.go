package main

import "github.com/walnutkv/walnut/kv"

// repairStepJSON is a step of a repair as JSON output has it.
type repairStepJSON struct {
	Kind     string `json:"kind"`
	Action   string `json:"action"`
	Path     string `json:"path"`
	Position int64  `json:"position"`
	Bytes    int64  `json:"bytes"`
	To       string `json:"to,omitempty"`
	Offset   uint64 `json:"offset,omitempty"`
	Why      string `json:"why,omitempty"`
}

// lostKeyJSON is a key whose newest value a repair loses.
type lostKeyJSON struct {
	Kind   string `json:"kind"`
	Offset uint64 `json:"offset"`
	Guess  bool   `json:"guess"`
	mutationJSON
}

// repairJSON is the summary of a repair. Offsets that don't apply are left out.
type repairJSON struct {
	Kind         string `json:"kind"`
	Dir          string `json:"dir"`
	Damaged      int    `json:"damaged"`
	Possible     bool   `json:"possible"`
	Applied      bool   `json:"applied"`
	Why          string `json:"why,omitempty"`
	Offset       uint64 `json:"offset,omitempty"`
	First        uint64 `json:"first,omitempty"`
	Last         uint64 `json:"last,omitempty"`
	LostFrom     uint64 `json:"lost_from,omitempty"`
	LostTo       uint64 `json:"lost_to,omitempty"`
	LostMore     bool   `json:"lost_more"`
	LostReadable uint64 `json:"lost_readable"`
	LostKeys     int    `json:"lost_keys"`
	LostMoreKeys bool   `json:"lost_more_keys"`
	HistoryFrom  uint64 `json:"history_from,omitempty"`
	HistoryTo    uint64 `json:"history_to,omitempty"`
}

func (p repairPrinter) printPlanJSON() error {
	for _, damage := range p.plan.Damage {
		object := violationJSON{kindViolation, damage.Damage, damage.Path, damage.Position, damage.Offset, damage.Problem}
		if err := p.app.printJSON(object); err != nil {
			return err
		}
	}
	for _, s := range p.plan.Steps {
		step := repairStepJSON{kindStep, string(s.Action), s.Path, s.Position, s.Bytes, s.To, s.Offset, s.Why}
		if err := p.app.printJSON(step); err != nil {
			return err
		}
	}
	for _, key := range p.plan.LostKeys {
		lost := lostKeyJSON{Kind: kindLostKey, Offset: key.Offset, Guess: key.Guess}
		lost.mutationJSON = newMutationJSON(kv.Mutation{Kind: key.Kind, Key: key.Key, End: key.End}, p.app.enc())
		lost.Value, lost.ValueBase64 = nil, nil
		if err := p.app.printJSON(lost); err != nil {
			return err
		}
	}
	return nil
}

func (p repairPrinter) printSummaryJSON(applied bool) error {
	r := p.plan
	summary := repairJSON{
		Kind: kindRepair, Dir: r.Dir, Damaged: len(r.Damage), Possible: r.Why == "", Applied: applied && len(r.Damage) > 0, Why: r.Why,
		Offset: r.Offset, First: r.First, Last: r.Last, LostMore: r.LostMore, LostReadable: r.LostReadable,
		LostKeys: len(r.LostKeys), LostMoreKeys: r.LostMoreKeys, HistoryFrom: r.HistoryFrom, HistoryTo: r.HistoryTo,
	}
	if r.LostTo > r.Offset {
		summary.LostFrom, summary.LostTo = r.Offset+1, r.LostTo
	}
	return p.app.printJSON(summary)
}
