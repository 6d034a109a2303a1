package main

import (
	"strconv"
	"strings"
)

// malformed is something that is not quite a command.
func (g *generator) malformed() command {
	switch g.pick(4, 3, 3, 2, 2) {
	case 0:
		return g.bent()
	case 1:
		return g.nonsense()
	case 2:
		return g.badData()
	case 3:
		return g.longKey()
	}
	return g.line(g.tooMany())
}

// name is the name of a command that the profile may use.
func (g *generator) name() string {
	if g.profile.stubs() {
		return g.of("mg", "ms", "md", "ma", "me", "set")
	}
	return g.of("get", "gets", "gat", "gats", "set", "add", "replace", "append", "prepend", "cas", "delete",
		"incr", "decr", "touch", "mg", "ms", "md", "ma", "me")
}

// word is something that may stand where a number or a flag belongs. None makes a stub
// or a stale item.
func (g *generator) word() string {
	return g.of("0", "1", "-1", "+1", "01", "1x", "x", "", "noreply", "2147483646", "99999999999", "4294967296",
		"18446744073709551616", "00000000001", "000000000001", "0000000000000000000001", "00000000000000000000001", "1.5", "0x1", "v", "q", "k", "b", "T5", "O1", "\x00", "é", "«a»")
}

// bent is a command with words left out or too many, or words of another kind.
func (g *generator) bent() command {
	words := []string{g.name()}
	switch words[0] {
	case "gat", "gats":
		words = append(words, g.of("0", "10", "x", "-1", "99999999999"))
	}
	// A key of this program's own, or none: what is stored is not to be met by others.
	words = append(words, g.key())
	for range g.IntN(6) {
		if w := g.word(); words[0] != "ma" || w != "T5" { // see ma
			words = append(words, w)
		}
	}
	text := strings.Join(words, strings.Repeat(" ", 1+g.pick(9, 1)))
	if g.chance(0.2) {
		text += strings.Repeat(" ", 1+g.IntN(3))
	}
	if g.profile.stubs() && strings.HasPrefix(text, "set ") && g.chance(0.5) {
		text = "ms " + strings.TrimPrefix(text, "set ")
	}
	// "delete KEY SECONDS" has a meaning of its own on mccache.
	if words[0] == "delete" && len(words) > 2 {
		text = "delete " + words[1] + g.of(" x", " 0 0", " noreply x", " 0 noreply", " ")
	}
	return apart(words[0]) + g.line(text)
}

// apart is what goes before a command of a name.
func apart(name string) command {
	switch name {
	case "incr", "decr", "ma":
		return alone
	}
	return ""
}

func (g *generator) nonsense() command {
	if g.chance(0.02) {
		return alone + g.line("GET / HTTP/1.1")
	}
	return g.line(g.of("", "x", "xy", "xyz", "GET «a»", " mg «a»", "gett «a»", "mx «a»", "m", "nosuch", "nosuch noreply",
		"nosuch x noreply", "noreply", "set", "get", "mg", "ms", "me", "ma", "md", "mg ", "mn x", "mn  ", "mng", "mg ab=c b k", "mg a=cd b k", "mg YQ==YQ== b k", "mg YQ==Y b", "mg YQE== b", "mg ==== b", "mg a.b-c_d b k", "version x", "version noreply",
		"verbosity", "verbosity x", "verbosity -1", "verbosity 4294967296", "verbosity x noreply", "flush_all x", "flush_all x noreply",
		"flush_all 99999999999", "cache_memlimit -1", "cache_memlimit 1000000001", "cache_memlimit 0 noreply", "lru_crawler",
		"lru_crawler nosuch", "lru_crawler metadump", "shutdown x", "shutdown graceful", "shutdown noreply", "stats nosuch", "stats noreply",
		"stats item", "quit x", "quit", "POST / HTTP/1.0 x", "\x80", "\x80\x01\x00", "\xff\xfe", "é", strings.Repeat("x", 500),
		"\x00\x00\x00\x00", "gat", "gat 0", "gats 5", "touch «a»", "incr «a»", "decr", "delete", "cas «a» 0"))
}

// badData is a storage command whose data is longer or shorter than it says, or has
// another end.
func (g *generator) badData() command {
	n := g.IntN(8)
	size := strconv.Itoa(n)
	line := "ms «a» " + size + g.of("", " q", " c", " O1 k", " ME", " z", " T", " Mx")
	if g.chance(0.5) && !g.profile.stubs() {
		line = g.of("set", "add", "replace", "append", "prepend") + " «a» " + g.of("0", "x", "-1", "1") + " " + g.of("0", "x", "9") + " " + size + g.quiet()
	}
	data := strings.Repeat("x", max(min(n, 1), n+g.IntN(5)-2))
	return g.line(line) + command(data+g.of("\r\n", "\r\n", "\n", "", "\r", "\r\r\n"))
}

// longKey is a command whose key is as long as may be, or longer.
func (g *generator) longKey() command {
	key := g.of("«a.250»", "«a.251»", "«a.251»")
	name := g.name()
	switch name {
	case "set", "add", "replace", "append", "prepend":
		return g.line(name+" "+key+" 0 0 1"+g.quiet()) + "x\r\n"
	case "cas":
		return g.line("cas "+key+" 0 0 1 5"+g.quiet()) + "x\r\n"
	case "gat", "gats":
		return alone + g.line(name+g.of(" 0 ", " 0 «a» ", " x ")+key)
	case "get", "gets":
		return alone + g.line(name+g.of(" ", " «a» ", " «b» «a» ")+key+g.of("", " «a»"))
	case "incr", "decr", "touch":
		return apart(name) + g.line(name+" "+key+" 1"+g.quiet())
	case "delete":
		return g.line(name + " " + key + g.quiet())
	case "ms":
		return g.line("ms "+key+" 1"+g.of("", " q", " k", " z")) + "x\r\n"
	}
	return apart(name) + g.line(name+" "+key+g.of("", " q", " k", " z", " k k"))
}

// tooMany is a line of many words; get and gets take as many as they like.
func (g *generator) tooMany() string {
	n := 15 + g.IntN(15)
	switch name := g.name(); name {
	case "get", "gets":
		// With what was not ended before it, it would be another line, and too long.
		return string(alone) + name + strings.Repeat(g.of(" «a»", " «a» «b»", "  «c»"), n*[]int{1, 20}[g.IntN(2)])
	case "gat", "gats":
		return name + " 0" + strings.Repeat(" «a»", n)
	case "mg", "md", "ma", "me":
		flags := "svtfchlkqu"
		if name != "mg" {
			flags = "vtfchlkqs"
		}
		text := string(apart(name)) + name + " «a»"
		for i := range n {
			if i < len(flags) {
				text += " " + flags[i:i+1]
				continue
			}
			text += " " + g.of("O1", "P1", "L1", "R50", "R5", "F1", "D1", "J1", "k")
		}
		return text
	}
	return string(alone) + "ma «a»" + strings.Repeat(" x", n)
}
