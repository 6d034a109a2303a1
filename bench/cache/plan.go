package main

import (
	"fmt"
	"regexp"
	"strings"
)

// layout is how a server and the client share the machine.
type layout struct {
	name    string
	about   string
	threads int  // of the server, its -t
	pinned  bool // the server on one core, the client on the other
	loops   int  // the client's threads
}

var layouts = []layout{
	{"t1", "`-t 1`, the server on one core and the client on the other", 1, true, 1},
	{"t2", "`-t 2`, nothing is kept on a core, the client has two threads", 2, false, 2},
}

// shape is a way of asking.
type shape struct {
	name    string
	load    load
	conns   int
	zipf    bool
	udp     bool
	latency bool // also measured in an open loop
	// goal is the ratio to reach with values so small that commands are the cost, and
	// with large ones; 0: not measured with those.
	goal, goalLarge float64
	largest         int // the largest values it is measured with
}

var shapes = []shape{
	{name: "get 50", load: load{verbGet, 1, 0}, conns: 50, latency: true, goal: 1.05, goalLarge: 1, largest: 60_000},
	{name: "get 2000", load: load{verbGet, 1, 0}, conns: 2000, goal: 1.05, goalLarge: 1, largest: 8_000},
	{name: "set 50", load: load{verbSet, 1, 0}, conns: 50, latency: true, goal: 1.05, goalLarge: 1, largest: 60_000},
	{name: "set 2000", load: load{verbSet, 1, 0}, conns: 2000, goal: 1.05, goalLarge: 1, largest: 1_000},
	{name: "delete 50", load: load{verbDelete, 1, 0}, conns: 50, goal: 1.05, largest: 1_000},
	{name: "delete 2000", load: load{verbDelete, 1, 0}, conns: 2000, goal: 1.05, largest: 1_000},
	{name: "pipelined gets", load: load{verbGet, 16, 0}, conns: 50, goal: 1.5, goalLarge: 1, largest: 8_000},
	{name: "50-key gets", load: load{verbGetMany, 50, 0}, conns: 50, latency: true, goal: 1.5, goalLarge: 1, largest: 8_000},
	{name: "pipelined missing deletes", load: load{verbMiss, 100, 0}, conns: 8, goal: 1.5, largest: 135},
	{name: "zipf 90/10", load: load{verbGet, 1, 10}, conns: 50, zipf: true, goal: 1.05, goalLarge: 1, largest: 60_000},
	{name: "udp gets", load: load{verbGet, 1, 0}, conns: 50, udp: true, goal: 1, largest: 1_000},
}

// large is the size from which a value, not the command, is the cost.
const large = 8_000

// goalFor is the ratio to reach with values of a size.
func (s shape) goalFor(size int) float64 {
	if size >= large {
		return s.goalLarge
	}
	return s.goal
}

// filling is what both servers hold.
type filling struct{ count, size int }

var fillings = []filling{
	{100_000, 135}, {100_000, 1_000}, {100_000, 8_000}, {100_000, 60_000},
	{5_000_000, 135}, {5_000_000, 1_000},
}

func (f filling) String() string { return short(f.count) + " of " + short(f.size) + "B" }

// short writes a round number with its unit: 100k, 5M, 135.
func short(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1_000 && n%1_000 == 0:
		return fmt.Sprintf("%dk", n/1_000)
	}
	return fmt.Sprint(n)
}

// megabytes is the -m that holds the filling in either server without evictions.
func (f filling) megabytes() int {
	const (
		overhead = 70   // an item's head, and its place in an index
		slack    = 1.35 // size classes 1.25 apart
	)
	return 128 + int(float64(f.count)*float64(f.size+keyLen+overhead)*slack/(1<<20))
}

// group is a pair of servers, filled once, and the shapes they are measured with.
type group struct {
	layout  layout
	filling filling
	shapes  []shape
}

// plan is what there is to measure of what was chosen: an expression that is matched
// with names such as "t1 100k of 135B get 50".
func plan(chosen *regexp.Regexp) []group {
	var groups []group
	for _, l := range layouts {
		for _, f := range fillings {
			g := group{layout: l, filling: f}
			for _, s := range shapes {
				if f.size <= s.largest && chosen.MatchString(g.name(s)) {
					g.shapes = append(g.shapes, s)
				}
			}
			if g.shapes != nil {
				groups = append(groups, g)
			}
		}
	}
	return groups
}

func (g group) name(s shape) string {
	return strings.Join([]string{g.layout.name, g.filling.String(), s.name}, " ")
}
