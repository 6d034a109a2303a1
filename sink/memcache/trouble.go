package memcache

import (
	"bytes"
	"slices"
	"time"
)

// maxTroubled is how many keys that met with trouble a Sink remembers by name.
const maxTroubled = 256

// Outcome is what became of a key that a cache did not take at once.
type Outcome string

// What became of them, as the metrics' label result has it.
const (
	OutcomeRefused  Outcome = ResultRefused  // for now: it is being tried again
	OutcomeSetAside Outcome = ResultSetAside // for good
	OutcomeTaken    Outcome = "taken"        // after it had been refused
)

// Troubled is a key that a cache did not take at once.
type Troubled struct {
	Key     string // without the prefix
	Outcome Outcome
	Reason  string // what the cache said, or why it was not asked
	// Since is when it was refused first, At when Outcome was so last.
	Since, At time.Time
}

// troubles remembers the last keys that met with trouble. Whoever has it guards it.
type troubles struct {
	ring []Troubled
	next int            // where the next one goes, once the ring is full
	at   map[string]int // index into ring, by key
	lost bool           // one that was refused, and perhaps still is, was forgotten
}

// note takes down what has become of a key.
func (t *troubles) note(key []byte, o Outcome, reason string) {
	now := time.Now()
	if i, ok := t.at[string(key)]; ok {
		old := &t.ring[i]
		if o == OutcomeTaken {
			reason = old.Reason
		} else if old.Outcome != OutcomeRefused {
			old.Since = now
		}
		old.Outcome, old.Reason, old.At = o, reason, now
		return
	}
	if o == OutcomeTaken {
		return // nobody remembers that it was refused
	}
	if t.at == nil {
		t.at = make(map[string]int)
	}
	each := Troubled{string(key), o, reason, now, now}
	if len(t.ring) < maxTroubled {
		t.at[each.Key] = len(t.ring)
		t.ring = append(t.ring, each)
		return
	}
	old := t.ring[t.next]
	t.lost = t.lost || old.Outcome == OutcomeRefused
	delete(t.at, old.Key)
	t.ring[t.next] = each
	t.at[each.Key] = t.next
	t.next = (t.next + 1) % maxTroubled
}

// latest are the last ones, the newest first.
func (t *troubles) latest(most int, o Outcome) []Troubled {
	found := slices.DeleteFunc(slices.Clone(t.ring), func(each Troubled) bool { return each.Outcome != o })
	slices.SortStableFunc(found, func(a, b Troubled) int { return b.At.Compare(a.At) })
	return found[:min(most, len(found))]
}

// State is what a Sink is at.
type State struct {
	// Kind is router or server, Address the one that is in use or tried.
	Kind, Address string
	// Connected says since when there has been a connection; zero if there is none.
	Connected time.Time
	// Version and Protocol are those of the connection, or of the last one.
	Version, Protocol string
	// Err is why there is no connection, or why the last one ended, and ErrAt when; nil
	// if none has.
	Err   error
	ErrAt time.Time
	// SetAside counts keys that were refused for good.
	SetAside uint64
	// Refused and Aside are the last keys of either kind, the newest first.
	Refused, Aside []Troubled
}

// samples is how many keys that met with trouble State names of each kind.
const samples = 10

// State is what the Sink is at. Any goroutine may call it; it waits for nobody.
func (s *Sink) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state
	state.SetAside = s.setAside
	state.Refused, state.Aside = s.troubles.latest(samples, OutcomeRefused), s.troubles.latest(samples, OutcomeSetAside)
	return state
}

// Trouble tells what became of a key last, if it was not taken at once; ok is false if
// it was, or that is forgotten. complete says that none has been forgotten that a cache
// refused.
func (s *Sink) Trouble(key []byte) (t Troubled, ok, complete bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, found := s.troubles.at[string(key)]; found {
		t, ok = s.troubles.ring[i], true
	}
	return t, ok, !s.troubles.lost
}

// troubled takes note of a key, as a command has it, that was not taken at once.
func (s *Sink) troubled(command []byte, o Outcome, reason string) {
	key := s.bare(command)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.troubles.note(key, o, reason)
}

// bare is the key in a command, without the prefix.
func (s *Sink) bare(command []byte) []byte {
	return bytes.TrimPrefix(keyOf(command), []byte(s.cfg.Prefix))
}

// connected takes note of a connection.
func (s *Sink) connected(address, version, protocol string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Kind, s.state.Address, s.state.Connected = s.kind(), address, time.Now()
	s.state.Version, s.state.Protocol = version, protocol
}

// fail takes note of a connection's end, or that there is none.
func (s *Sink) fail(address string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Kind, s.state.Address, s.state.Connected = s.kind(), address, time.Time{}
	s.state.Err, s.state.ErrAt = err, time.Now()
}

// parted takes note that a connection was ended from here.
func (s *Sink) parted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Connected = time.Time{}
}
