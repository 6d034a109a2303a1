package main

import (
	"fmt"
	"strings"
)

// meta is a meta command.
func (g *generator) meta() command {
	switch g.pick(40, 25, 12, 15, 4, 4) {
	case 0:
		return g.mg()
	case 1:
		return g.ms()
	case 2:
		return g.md()
	case 3:
		return g.ma()
	case 4:
		if g.chance(0.3) {
			return g.line("me " + g.of("«a.64»", "«z.64»") + " b v")
		}
		return g.line("me " + g.key() + g.of("", "", " v", " q O1"))
	}
	return g.line("mn")
}

// A choice is a flag and how often it is there.
type choice struct {
	flag string
	odds float64
}

// with puts a key and flags behind the words of a command: some of the flags, in some
// order. A key in base64 brings b along.
func (g *generator) with(words string, key string, between string, choices ...choice) command {
	var flags []string
	if key == "«z.64»" {
		flags = append(flags, "b")
	} else if g.chance(0.12) {
		key, flags = strings.Replace(key, "»", ".64»", 1), append(flags, "b")
		key = strings.Replace(key, ".250.64»", ".64»", 1)
	}
	for _, c := range choices {
		if g.chance(c.odds) {
			flags = append(flags, c.flag)
		}
	}
	if g.wild > 0 && g.chance(0.05) {
		flags = append(flags, g.stray())
	}
	g.Shuffle(len(flags), func(i, j int) { flags[i], flags[j] = flags[j], flags[i] })
	return g.line(strings.Join(append([]string{words, key + between}, flags...), " "))
}

// stray is a flag that does not belong, twice one that does, or an argument out of
// bounds.
func (g *generator) stray() string {
	return g.of("P", "L", "Pxyz", "s", "v", "f", "F5", "J5", "D5", "x", "M", "u", "l", "h",
		"z", "S100", "5", "!", "\x7f", "é", "T", "Tx", "T99999999999", "T-", "N", "Nx", "C", "Cx", "C18446744073709551616",
		"E", "Ex", "D", "J", "Dx", "F", "Fx", "F4294967296", "F-1", "R", "Rx", "kk", "qq", "b", "O",
		"O"+strings.Repeat("o", 31), "O"+strings.Repeat("o", 32), "O"+strings.Repeat("o", 100))
}

func (g *generator) opaque() string { return "O" + g.of("1", "abc", "", "-", "O1") }

func (g *generator) mg() command {
	n := 0.0
	if g.profile.stubs() {
		n = 0.3
	}
	return g.with("mg", g.key(), "",
		choice{"v", 0.6}, choice{"s", 0.3}, choice{"f", 0.25}, choice{"c", 0.25}, choice{"t", 0.35},
		choice{"h", 0.2}, choice{"l", 0.1}, choice{"k", 0.2}, choice{g.opaque(), 0.15}, choice{"q", 0.15},
		choice{"u", 0.1}, choice{"T" + g.seconds(), 0.12}, choice{"R" + g.of("1", "3", "50", "200", "-1", "0"), 0.12},
		choice{"N" + g.seconds(), n}, choice{"E" + g.chosen(), 0.08}, choice{"C" + g.id(), 0.05})
}

func (g *generator) ms() command {
	data := g.data()
	older := 0.0
	if g.profile.stubs() {
		older = 0.25
	}
	line := g.with("ms", g.key(), fmt.Sprintf(" %d", len(data)),
		choice{"T" + g.seconds(), 0.4}, choice{"F" + g.flags(), 0.3}, choice{"c", 0.25}, choice{"k", 0.2},
		choice{g.opaque(), 0.15}, choice{"q", 0.15}, choice{"s", 0.2}, choice{"C" + g.id(), 0.25},
		choice{"E" + g.chosen(), 0.12}, choice{"I", older}, choice{"N" + g.seconds(), 0.1},
		choice{"M" + g.of("S", "E", "A", "P", "R", "SET", "s", "", "X", "A", "P"), 0.35})
	return line + command(data+"\r\n")
}

func (g *generator) md() command {
	stale := 0.0
	if g.profile.stubs() {
		stale = 0.5
	}
	return g.with("md", g.key(), "",
		choice{"I", stale}, choice{"T" + g.seconds(), 0.3}, choice{"x", 0.15}, choice{"q", 0.2}, choice{"k", 0.2},
		choice{g.opaque(), 0.15}, choice{"C" + g.id(), 0.2}, choice{"E" + g.chosen(), 0.12}, choice{"F" + g.flags(), 0.05})
}

func (g *generator) ma() command {
	mode, there, anew := g.of("I", "+", "INCR", "i", "", "X"), 0.3, 0.0
	if g.chance(0.5) {
		// Upwards, memcached gives the TTL and the id to the item that it has just
		// replaced, if the number has grown longer.
		mode, there, anew = g.of("D", "-", "DECR"), 1, 0.3
	}
	return alone + g.with("ma", g.key(), "",
		choice{"N" + g.seconds(), 0.35}, choice{"J" + g.delta(), 0.3}, choice{"D" + g.delta(), 0.4},
		choice{"T" + g.seconds(), anew}, choice{"M" + mode, there},
		choice{"q", 0.12}, choice{"t", 0.25}, choice{"c", 0.25}, choice{"v", 0.5}, choice{"k", 0.15},
		choice{g.opaque(), 0.12}, choice{"C" + g.id(), 0.15}, choice{"E" + g.chosen(), anew})
}
