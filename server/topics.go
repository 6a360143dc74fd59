package server

import (
	"maps"
	"math"
	"slices"
	"sync"
)

// topic is a channel, or a pattern for all channels that it matches.
type topic struct {
	name      string
	isPattern bool
}

// topicOverhead is about what a channel that a client listens to takes in memory besides its name.
const topicOverhead = 350

// held is about how many bytes of memory the topic takes for each client that listens to it. A pattern is there in four copies, of which two are
// parsed from it.
func (t topic) held() int {
	if t.isPattern {
		return 2*topicOverhead + 4*len(t.name)
	}
	return topicOverhead + len(t.name)
}

// listeners are the clients of a topic, and the offset of the last commit before each of them came.
type listeners map[*messages]uint64

// topics are what clients listen to, by name. A message costs what it reaches, however many topics there are: a channel
// is looked up, and patterns by the bytes before their first special one.
//
// Invariant: mu guards all fields. events runs while a topic can have events.
type topics struct {
	mu       sync.Mutex
	channels map[string]listeners
	patterns map[string]map[string]*patternListeners // By start, then by pattern.
	starts   map[int]int                             // How many patterns have a start of that length.
	events   events
	frame    reply // Memory for a message.
}

// patternListeners are the listeners of a pattern.
type patternListeners struct {
	glob glob
	listeners
}

func newTopics() topics {
	return topics{
		channels: make(map[string]listeners),
		patterns: make(map[string]map[string]*patternListeners),
		starts:   make(map[int]int),
		frame:    reply{max: math.MaxInt},
	}
}

// add lets a client listen to a topic that it doesn't listen to yet, from the commit after an offset on.
func (t *topics) add(to topic, m *messages, offset uint64) {
	switch {
	case to.isPattern:
		t.addPattern(to.name)[m] = offset
	case t.channels[to.name] == nil:
		t.channels[to.name] = listeners{m: offset}
	default:
		t.channels[to.name][m] = offset
	}
}

// addPattern returns the listeners of a pattern.
func (t *topics) addPattern(pattern string) listeners {
	g := newGlob([]byte(pattern))
	start := string(g.start)
	if t.patterns[start] == nil {
		t.patterns[start] = make(map[string]*patternListeners)
	}
	found := t.patterns[start][pattern]
	if found == nil {
		found = &patternListeners{g, make(listeners)}
		t.patterns[start][pattern] = found
		t.starts[len(start)]++
	}
	return found.listeners
}

// remove ends what add began.
func (t *topics) remove(from topic, m *messages) {
	if from.isPattern {
		t.removePattern(from.name, m)
		return
	}
	delete(t.channels[from.name], m)
	if len(t.channels[from.name]) == 0 {
		delete(t.channels, from.name)
	}
}

func (t *topics) removePattern(pattern string, m *messages) {
	g := newGlob([]byte(pattern))
	start := string(g.start)
	found := t.patterns[start][pattern]
	delete(found.listeners, m)
	if len(found.listeners) > 0 {
		return
	}
	delete(t.patterns[start], pattern)
	if len(t.patterns[start]) == 0 {
		delete(t.patterns, start)
	}
	if t.starts[len(start)]--; t.starts[len(start)] == 0 {
		delete(t.starts, len(start))
	}
}

// matching calls a function for every pattern that matches a channel.
func (t *topics) matching(channel []byte, visit func(pattern string, to listeners)) {
	for length := range t.starts {
		if length > len(channel) {
			continue
		}
		for pattern, p := range t.patterns[string(channel[:length])] {
			if p.glob.rest || matchGlob(p.glob.pattern, channel) {
				visit(pattern, p.listeners)
			}
		}
	}
}

// publish sends a message that is about no commit.
func (t *topics) publish(channel, message []byte) (receivers int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.send(channel, message, math.MaxUint64)
}

// send sends a message to a channel's listeners and to those of the patterns that match. It is about the commit with an
// offset, and returns how many messages that were.
func (t *topics) send(channel, message []byte, offset uint64) (receivers int) {
	if to := t.channels[string(channel)]; len(to) > 0 {
		f := t.newFrame()
		f.array(3)
		f.text("message")
		receivers += t.sendTo(to, channel, message, offset)
	}
	t.matching(channel, func(pattern string, to listeners) {
		f := t.newFrame()
		f.array(4)
		f.text("pmessage")
		f.text(pattern)
		receivers += t.sendTo(to, channel, message, offset)
	})
	return receivers
}

// newFrame begins a message.
func (t *topics) newFrame() *reply {
	if cap(t.frame.buf) > outputKept {
		t.frame.buf = nil
	}
	t.frame.buf = t.frame.buf[:0]
	return &t.frame
}

// sendTo ends a message, and sends it to listeners.
func (t *topics) sendTo(to listeners, channel, message []byte, offset uint64) (receivers int) {
	t.frame.bulk(channel)
	t.frame.bulk(message)
	for m, after := range to {
		if offset > after {
			m.offer(t.frame.buf)
			receivers++
		}
	}
	return receivers
}

// receivers returns how many messages send would send of a message that isn't about a commit.
func (t *topics) receivers(channel []byte) (count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count = len(t.channels[string(channel)])
	t.matching(channel, func(_ string, to listeners) { count += len(to) })
	return count
}

// names returns the channels, in order.
func (t *topics) names() []string {
	t.mu.Lock()
	names := slices.Collect(maps.Keys(t.channels))
	t.mu.Unlock()
	slices.Sort(names)
	return names
}

// listening returns how many clients listen to a channel.
func (t *topics) listening(channel []byte) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.channels[string(channel)])
}

// patternCount returns how many patterns there are.
func (t *topics) patternCount() (count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.starts {
		count += n
	}
	return count
}
