package cache

import "time"

// ticksPerSecond is how finely the store knows when an item was last accessed.
const ticksPerSecond = 16

// firstSecond is the store's clock when it starts, as memcached's: it is more than 1, which
// stands for what is expired from the outset.
const firstSecond = 62

// clock turns the system's time into the store's: seconds since its epoch, which never go
// back. Only the upkeep (or a test) moves it.
type clock struct {
	epoch   int64 // Unix time of second 0
	started time.Time
	offset  time.Duration // of started, from the epoch
}

func (c *clock) set(s *Store, now time.Time, epoch int64) {
	c.epoch, c.started = epoch, now
	c.offset = now.Sub(time.Unix(epoch, 0))
	c.advance(s, now)
}

// advance moves the store's clock to now, by the monotonic clock.
func (c *clock) advance(s *Store, now time.Time) (second bool) {
	elapsed := c.offset + now.Sub(c.started)
	tick := uint32(elapsed / (time.Second / ticksPerSecond))
	if before := s.tick.Load(); tick <= before && before != 0 {
		return false
	}
	before := s.now.Load()
	s.tick.Store(tick)
	s.now.Store(tick / ticksPerSecond)
	return before != tick/ticksPerSecond
}

// maxRelative is the longest expiry that counts from now, in seconds; anything greater is
// a Unix time (memcached's protocol.txt, "Expiration times").
const maxRelative = 60 * 60 * 24 * 30

// Expiry turns a protocol's expiry, in seconds, into the store's: 0 is never, up to thirty
// days counts from now, more is a Unix time, and anything that is past, or negative, is
// expired at once.
func (s *Store) Expiry(exptime int64) uint32 {
	switch {
	case exptime == 0:
		return 0
	case exptime < 0:
		return 1
	case exptime <= maxRelative:
		return s.now.Load() + uint32(exptime)
	case exptime <= s.clock.epoch+1:
		return 1
	}
	return uint32(min(exptime-s.clock.epoch, 1<<32-1))
}

// Now is the Unix time of the store's clock.
func (s *Store) Now() int64 { return s.clock.epoch + int64(s.now.Load()) }
