package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// A profile is what a program is made of. docs/cache.md has the differences that are
// meant; each profile keeps away from what it says by the commands it leaves out.
type profile int

const (
	// mixed programs have all commands, but make no stubs and no stale items, which
	// classic commands do not see on mccache.
	mixed profile = iota
	// meta programs have the meta commands with all flags, and of the classic ones set,
	// which does the same to stubs and stale items everywhere.
	meta
	// bulk programs get large values again and again, and change them meanwhile: while
	// answers wait that hold them.
	bulk
	// timed programs are mixed ones whose items expire within them.
	timed
	// timedMeta programs are meta ones whose items expire within them.
	timedMeta
	profiles
)

func (p profile) String() string {
	return [...]string{"mixed", "meta", "bulk", "timed", "timed meta"}[p]
}

// time tells whether time passes between a program's steps.
func (p profile) time() bool { return p == timed || p == timedMeta }

// stubs tells whether a program may make stubs and stale items.
func (p profile) stubs() bool { return p == meta || p == timedMeta }

// generate makes the program of a seed.
func generate(seed uint64, p profile, steps int) program {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, uint64(p))), profile: p}
	made := program{seed: seed, profile: p}
	g.wild = []float64{0, 0.03, 0.25}[g.IntN(3)]
	for range steps {
		s := step{cut: cut(g.pick(8, 2, 1, 1)), cuts: g.Uint64()}
		if p == bulk {
			s.cut = cut(g.pick(1, 1, 0, 2))
		}
		for range 1 + g.IntN(12) {
			s.commands = append(s.commands, g.command())
		}
		made.steps = append(made.steps, s)
	}
	return made
}

// A generator makes one program.
type generator struct {
	*rand.Rand
	profile profile
	wild    float64 // how often a command is malformed
}

func (g *generator) chance(p float64) bool { return g.Float64() < p }

// pick returns an index, each as often as its weight says.
func (g *generator) pick(weights ...int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := g.IntN(total)
	for i, w := range weights {
		if n -= w; n < 0 {
			return i
		}
	}
	return 0
}

func (g *generator) of(all ...string) string { return all[g.IntN(len(all))] }

// line ends a line, and sometimes as memcached also takes it.
func (g *generator) line(text string) command {
	if g.chance(0.02) {
		return command(text + "\n")
	}
	return command(text + "\r\n")
}

func (g *generator) command() command {
	if g.profile == bulk {
		return g.bulk()
	}
	if g.chance(g.wild) {
		return g.malformed()
	}
	if g.profile.stubs() {
		if g.chance(0.08) {
			return g.store("set")
		}
		return g.meta()
	}
	if g.chance(0.45) {
		return g.meta()
	}
	return g.classic()
}

// key is one of few, so that commands meet each other's items.
func (g *generator) key() string {
	switch g.pick(70, 25, 3, 1, 1) {
	case 0:
		return "«a»"
	case 1:
		return "«b»"
	case 2:
		return "«c»"
	case 3:
		return "«a.250»"
	}
	return "«z.64»"
}

// classic is a command of the classic protocol.
func (g *generator) classic() command {
	switch g.pick(14, 8, 8, 18, 10, 8, 14, 6, 4) {
	case 0:
		return g.line("get " + g.keys())
	case 1:
		return g.line("gets " + g.keys())
	case 2:
		return g.line(g.of("gat ", "gats ") + g.seconds() + " " + g.keys())
	case 3:
		return g.store(g.of("set", "set", "add", "replace", "append", "prepend"))
	case 4:
		return g.store("cas")
	case 5:
		return g.line("delete " + g.key() + g.of("", "", " 0") + g.quiet())
	case 6:
		return alone + g.line(g.of("incr ", "decr ")+g.key()+" "+g.delta()+g.quiet())
	case 7:
		return g.line("touch " + g.key() + " " + g.seconds() + g.quiet())
	}
	return g.line(g.of("version", "verbosity 0", "verbosity 1", "verbosity 0 noreply", "mn",
		"cache_memlimit 1024", "cache_memlimit 7", "cache_memlimit", "cache_memlimit x noreply", "shutdown", "stats nosuch"))
}

// alone goes before what memcached does in one of two ways, according to whether answers
// to earlier commands still wait to be sent, which is a matter of luck where commands are
// pipelined: a number is changed in place, and keeps its length and marks, only if no
// answer holds the item; a get with a key that is too long drops all answers that wait;
// so does what closes the connection at once. mn has it send everything; twice, in case
// a command that lacks data takes the first for it.
const alone command = "mn\r\nmn\r\n"

func (g *generator) keys() string {
	all := []string{g.key()}
	for g.chance(0.35) && len(all) < 30 {
		all = append(all, g.key())
	}
	return strings.Join(all, " ")
}

func (g *generator) quiet() string {
	if g.chance(0.15) {
		return " noreply"
	}
	return ""
}

// store is a storage command with its data.
func (g *generator) store(name string) command {
	data := g.data()
	line := fmt.Sprintf("%s %s %s %s %d", name, g.key(), g.flags(), g.seconds(), len(data))
	if name == "cas" {
		line += " " + g.id()
	}
	return g.line(line+g.quiet()) + command(data+"\r\n")
}

func (g *generator) flags() string {
	return g.of("0", "0", "0", "1", "42", "4294967295", strconv.Itoa(int(g.Uint32())))
}

// seconds is how long an item lasts.
func (g *generator) seconds() string {
	if g.profile.time() && g.chance(0.7) {
		return g.of("1", "2", "2", "3", "4")
	}
	return g.of("0", "0", "0", "-1", "100", "1000", "2592000", "2592001", "2147483647")
}

// delta is what a number is raised or lowered by.
func (g *generator) delta() string {
	return g.of("1", "1", "2", "9", "10", "90", "1000", "0", "18446744073709551615", "9223372036854775808", strconv.FormatUint(g.Uint64(), 10))
}

// data is a value; often a number, that incr may meet it.
func (g *generator) data() string {
	switch g.pick(30, 30, 10, 10, 4) {
	case 0:
		return g.of("0", "1", "5", "9", "10", "99", "100", "18446744073709551615", "18446744073709551616", "9223372036854775807")
	case 1:
		return strings.Repeat(g.of("x", "y", "7", "é"), g.IntN(12))
	case 2:
		// Never white space alone: memcached, looking for a number, reads on behind it.
		return g.of("", " .", "5 ", " 5", "+5", "-5", "5x", "05", "0x5", "\x00", "5\x00", "a\r\nb", "\r\n.", "END\r\n", "mn\r\n", "\x80\xff")
	case 3:
		return strings.Repeat(g.of("a", "b", ".\r\n"), g.IntN(1000))
	}
	if g.wild > 0 {
		// What is malformed may make a line of the data behind it: not one beyond bounds.
		return strings.Repeat("c", 1000+g.IntN(500))
	}
	switch g.pick(14, 4, 2, 1) {
	case 0:
		return strings.Repeat("c", 1000+g.IntN(30_000))
	case 1:
		return strings.Repeat("d", g.IntN(1_000_000))
	case 2:
		// Within 1 kB of the limit the two may differ.
		return strings.Repeat("e", 1_040_000)
	}
	return strings.Repeat("e", 1_050_000+g.IntN(500_000))
}

// id is a CAS id: the present one, the one before, or one that was chosen.
func (g *generator) id() string {
	return g.of("«a.cas»", "«a.cas»", "«a.cas»", "«a.old»", "«b.cas»", "0", g.chosen(), g.chosen())
}

// chosen is an id that a client may give, with E: older or younger than any that a
// server gives by itself, for those are not the same on both.
func (g *generator) chosen() string {
	return g.of("1", "2", "3", "18446744073709551613", "18446744073709551614", "18446744073709551615")
}

// bulk is a command that stores or fetches large values. Each value looks different, so
// that none is taken for another.
func (g *generator) bulk() command {
	key := g.of("«a»", "«a»", "«b»")
	switch g.pick(8, 2, 6, 4, 1) {
	case 0, 1:
		size := g.IntN([]int{100, 10_000, 100_000, 600_000}[g.IntN(4)])
		how := g.of("set KEY 0 0 %d", "set KEY 0 0 %d noreply", "replace KEY 0 0 %d", "add KEY 0 0 %d", "ms KEY %d", "ms KEY %d c")
		if size < 10_000 {
			// Together these stay far from the limit of a value's size.
			how = g.of(how, "append KEY 0 0 %d", "prepend KEY 0 0 %d", "ms KEY %d MA s")
		}
		return command(fmt.Sprintf(strings.Replace(how, "KEY", key, 1)+"\r\n%s\r\n", size, strings.Repeat(string(rune('a'+g.IntN(26))), size)))
	case 2:
		return command(g.of("get ", "gets ", "gat 0 ") + g.of("«a»", "«b»", "«a» «b»", "«b» «a» «a»", "«a» «a» «b» «c» «a»") + "\r\n")
	case 3:
		return command("mg " + key + g.of(" v", " v s", " v k q", " s") + "\r\n")
	}
	return command(g.of("delete ", "md ") + key + "\r\n")
}
