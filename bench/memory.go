package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// peaks are the most memory that something took while it ran.
type peaks struct {
	heap     int64 // Bytes of objects on the Go heap, garbage that is not collected yet included; looked at every 2 ms.
	resident int64 // Of the process; 0 where the system doesn't tell. Mapped files count as far as they are in memory.
}

// whileRunning watches memory. What the process had resident before it no longer needs is given back first, so that it
// doesn't count.
func whileRunning(do func() error) (p peaks, err error) {
	debug.FreeOSMemory()
	resetPeakMemory()
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			p.heap = max(p.heap, heapObjects())
			select {
			case <-ended:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	err = do()
	close(ended)
	watching.Wait()
	p.resident = peakMemory()
	return p, err
}

func heapObjects() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// resetPeakMemory makes peakMemory begin anew, where the system can.
func resetPeakMemory() {
	const peakResident = "5" // Of what can be cleared there.
	_ = os.WriteFile("/proc/self/clear_refs", []byte(peakResident), 0)
}

// tellPeaks adds what was taken to the result, as multiples of the heap that is live now. What the process had resident
// before it opened anything, which is this program's code for the most part, is left out, but no part of the heap. It
// returns the multiple that is resident.
func (r *run) tellPeaks(p peaks) (resident float64) {
	r.result.HeapBytes = liveHeap()
	live := float64(r.result.HeapBytes)
	resident = float64(max(p.heap, p.resident-r.bare)) / live
	r.more("peak heap / live heap", float64(p.heap)/live)
	r.more("peak resident / live heap", resident)
	return resident
}
