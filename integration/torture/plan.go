package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// target is what a fault happens to: one of several of its kind.
type target struct {
	thing
	n int
}

// thing is a kind of target.
type thing uint8

const (
	theDaemon thing = iota
	theServer
	theLog
	theSource // the wire to the server
	aRouter
	aCache
	aWire // to a router or a cache
	things
)

// howMany there are of each.
var howMany = [things]int{theDaemon: 1, theServer: 1, theLog: 1, theSource: 1, aRouter: 2, aCache: 5, aWire: 7}

// evil is what can be done to a thing.
type evil uint8

const (
	killed evil = iota
	stopped
	frozen
	reloaded
	rotated
	cut
	slow     // delayed
	blocked  // held
	devoured // swallowed
	shortened
)

var evilNames = [...]string{
	killed: "killed", stopped: "stopped and started", frozen: "frozen", reloaded: "reloaded", rotated: "rotated",
	cut: "cut", slow: "delayed", blocked: "held up", devoured: "black-holed", shortened: "clipped",
}

// card is a kind of fault: how often it is in the deck, and how long it lasts.
type card struct {
	thing
	evil
	copies      int
	least, most time.Duration
}

const ms = time.Millisecond

// What no torture is without.
var (
	killTheDaemon = card{theDaemon, killed, 5, 0, 1500 * ms}
	killTheServer = card{theServer, killed, 2, 0, 1500 * ms}
)

// deck is all kinds of faults. Caches are frozen and cut off rather than killed:
// what was in one that was killed proves nothing.
var deck = []card{
	killTheDaemon,
	{theDaemon, stopped, 2, 0, 500 * ms},
	{theDaemon, frozen, 2, 200 * ms, 5000 * ms},
	{theDaemon, reloaded, 6, 0, 500 * ms},
	killTheServer,
	{theServer, stopped, 1, 0, 500 * ms},
	{theServer, frozen, 2, 200 * ms, 14000 * ms},
	{theLog, rotated, 5, 0, 2000 * ms},
	{theSource, cut, 3, 0, 2500 * ms},
	{theSource, slow, 2, 500 * ms, 4000 * ms},
	{theSource, blocked, 2, 300 * ms, 14000 * ms},
	{theSource, devoured, 2, 300 * ms, 4000 * ms},
	{theSource, shortened, 3, 500 * ms, 4000 * ms},
	{aRouter, killed, 3, 0, 1500 * ms},
	{aRouter, frozen, 4, 200 * ms, 7000 * ms},
	{aCache, killed, 1, 0, 1000 * ms},
	{aCache, frozen, 7, 200 * ms, 8000 * ms},
	{aWire, cut, 5, 0, 2500 * ms},
	{aWire, slow, 3, 500 * ms, 4000 * ms},
	{aWire, blocked, 5, 300 * ms, 7000 * ms},
	{aWire, devoured, 4, 300 * ms, 5000 * ms},
	{aWire, shortened, 5, 500 * ms, 4000 * ms},
}

// fault is one card played.
type fault struct {
	target
	evil
	at, lasts time.Duration // since the storm began
	// down: what comes from the server, not what goes to it.
	down   bool
	amount int // milliseconds, bytes, rotations
}

func (f fault) kind() string { return thingNames[f.thing] + " " + evilNames[f.evil] }

var thingNames = [things]string{
	theDaemon: "daemon", theServer: "server", theLog: "log", theSource: "source's wire",
	aRouter: "router", aCache: "cache", aWire: "wire",
}

func (f fault) String() string {
	s := f.kind()
	if howMany[f.thing] > 1 {
		s = fmt.Sprintf("%s %d %s", thingNames[f.thing], f.n, evilNames[f.evil])
	}
	return fmt.Sprintf("%v+%v %s (down %v, %d)", f.at, f.lasts, s, f.down, f.amount)
}

// storm is a while in which things go wrong.
type storm struct {
	lasts  time.Duration
	faults []fault // by their beginning
}

// forecast makes storms up, one after the other, from a seed.
type forecast struct {
	random *rand.Rand
	deck   []card // what is left of it
	storms int
}

func newForecast(seed uint64) *forecast {
	return &forecast{random: rand.New(rand.NewPCG(seed, 1<<32))}
}

// draw takes the next card for one of these things; the others stay where they are.
func (f *forecast) draw(things []thing) card {
	for {
		for i, c := range f.deck {
			if slices.Contains(things, c.thing) {
				f.deck = slices.Delete(f.deck, i, i+1)
				return c
			}
		}
		var more []card
		for _, c := range deck {
			for range c.copies {
				more = append(more, c)
			}
		}
		f.random.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
		f.deck = append(f.deck, more...)
	}
}

// next makes up a storm of at most that length. Each kills the daemon, and the first
// the server. The first may hurt everything; later ones spare some things, so that
// what is left is met alone, too.
func (f *forecast) next(most time.Duration) storm {
	f.storms++
	s := storm{lasts: min(most, f.between(6000*ms, 18000*ms))}
	spared := 0.3
	if f.storms == 1 {
		spared = 0
	}
	hit := []thing{theDaemon}
	for t := theDaemon + 1; t < things; t++ {
		if f.random.Float64() >= spared {
			hit = append(hit, t)
		}
	}
	free := make(map[target]time.Duration)
	play := func(at time.Duration, c card) {
		x := fault{
			target: target{c.thing, f.random.IntN(howMany[c.thing])}, evil: c.evil,
			at: at, lasts: f.between(c.least, c.most), down: f.random.IntN(2) == 0,
		}
		switch c.evil {
		case slow:
			x.amount = 1 + f.random.IntN(300)
		case shortened:
			x.amount = 1 + f.random.IntN([]int{200, 5_000, 200_000}[f.random.IntN(3)])
		case rotated:
			x.amount = 1 + f.random.IntN(4)
		}
		// One thing at a time, with a moment to recover; and no longer than the storm.
		x.at = max(x.at, free[x.target])
		if x.at >= s.lasts {
			return
		}
		x.lasts = min(x.lasts, s.lasts-x.at)
		free[x.target] = x.at + x.lasts + f.between(0, 1000*ms)
		s.faults = append(s.faults, x)
	}
	play(f.between(0, s.lasts/2), killTheDaemon)
	if f.storms == 1 {
		play(f.between(0, s.lasts/2), killTheServer)
	}
	pause := []time.Duration{250 * ms, 500 * ms, 1200 * ms}[f.random.IntN(3)]
	for at := f.between(0, pause); at < s.lasts; at += f.between(0, 2*pause) {
		play(at, f.draw(hit))
	}
	slices.SortStableFunc(s.faults, func(a, b fault) int { return int(a.at - b.at) })
	return s
}

func (f *forecast) between(least, most time.Duration) time.Duration {
	return least + time.Duration(f.random.Int64N(int64(most-least)+1))
}
