package cache

import "time"

// holdoff refuses adds of a key for a while after its delete, so that a cold cluster does
// not take an old value from a warm one (the paper, §4.3). Keys stand there by their
// hashes: that two keys share one only refuses too much.
//
// Each shard has its table, guarded by its mu, in which a key has holdoffWays places.
type holdoff struct {
	hash  uint64
	until uint32 // tick; 0: free
}

const (
	holdoffWays = 8
	holdoffSize = 16 // bytes of one
)

// makeHoldoffs lays out the tables in budget bytes.
func (s *Store) makeHoldoffs(budget int64) {
	n := max(2*holdoffWays, int(budget/holdoffSize/shardCount)&^(holdoffWays-1))
	s.holdoffPages = (n*holdoffSize*shardCount + pageSize - 1) / pageSize
	for i := range s.shards {
		s.shards[i].holdoffs = make([]holdoff, n)
	}
}

// ways are the places of a hash.
func (sh *shard) ways(hash uint64) []holdoff {
	first := int(hash>>shardBits%uint64(len(sh.holdoffs)/holdoffWays)) * holdoffWays
	return sh.holdoffs[first : first+holdoffWays]
}

// HoldOff refuses adds of the key for d, or until Put.
func (e *Entry) HoldOff(d time.Duration) {
	s := e.store
	tick := s.tick.Load()
	// A tick that has begun does not count, so that no hold-off ends early.
	until := tick + uint32((min(d, maxHoldoff)*ticksPerSecond+time.Second-1)/time.Second) + 1
	e.shard.heldUntil = max(e.shard.heldUntil, until)
	ways := e.shard.ways(e.hash)
	place := &ways[0]
	for i := range ways {
		if way := &ways[i]; way.until > tick && way.hash == e.hash {
			way.until = max(way.until, until)
			return
		} else if way.until < place.until {
			place = way
		}
	}
	if place.until <= tick {
		*place = holdoff{hash: e.hash, until: until}
		return
	}
	// No place: whoever ends first goes, which may be this one, and until then nobody adds
	// anything.
	s.leases.holdoffDisplaced.Add(1)
	s.refuseAdds(min(until, place.until))
	if until > place.until {
		*place = holdoff{hash: e.hash, until: until}
	}
}

// refuseAdds refuses the adds of every key until a tick.
func (s *Store) refuseAdds(until uint32) {
	for {
		refuse := s.refuseUntil.Load()
		if refuse >= until || s.refuseUntil.CompareAndSwap(refuse, until) {
			return
		}
	}
}

// maxHoldoff bounds what a client can ask for.
const maxHoldoff = 24 * time.Hour

// HeldOff reports whether an add of the key is refused now, and counts that.
func (e *Entry) HeldOff() bool {
	s := e.store
	tick := s.tick.Load()
	held := s.refuseUntil.Load() > tick
	if e.shard.heldUntil > tick {
		for _, way := range e.shard.ways(e.hash) {
			held = held || way.hash == e.hash && way.until > tick
		}
	}
	if held {
		s.leases.holdoffRefused.Add(1)
	}
	return held
}

// endHoldoff ends the hold-off of a key that was stored.
func (sh *shard) endHoldoff(s *Store, hash uint64) {
	if sh.heldUntil <= s.tick.Load() {
		return
	}
	ways := sh.ways(hash)
	for i := range ways {
		if ways[i].until != 0 && ways[i].hash == hash {
			ways[i] = holdoff{}
		}
	}
}
