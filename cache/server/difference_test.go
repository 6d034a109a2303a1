package server

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestDifferencesFromMemcached holds the server to each row of "What is different" in
// docs/cache.md that is about answers. # stands for a CAS id.
func TestDifferencesFromMemcached(t *testing.T) {
	const stub, stale = "mg k N30\r\n", "ms k 1 F7 T100\r\n5\r\nmd k I T30\r\n"
	const made, marked = "HD W\r\n", "HD\r\nHD\r\n"
	for _, before := range []struct{ name, in, out string }{{"stub", stub, made}, {"stale", stale, marked}} {
		for _, c := range []struct{ in, out string }{
			{"get k\r\n", "END\r\n"},
			{"gets k\r\n", "END\r\n"},
			{"gat 10 k\r\n", "END\r\n"},
			{"gats 10 k\r\n", "END\r\n"},
			{"touch k 10\r\n", "NOT_FOUND\r\n"},
			{"incr k 1\r\n", "NOT_FOUND\r\n"},
			{"decr k 1\r\n", "NOT_FOUND\r\n"},
			{"append k 0 0 1\r\nx\r\n", "NOT_STORED\r\n"},
			{"prepend k 0 0 1\r\nx\r\n", "NOT_STORED\r\n"},
			{"replace k 0 0 1\r\nx\r\n", "NOT_STORED\r\n"},
			{"cas k 0 0 1 5\r\nx\r\n", "NOT_FOUND\r\n"},
			{"add k 1 0 1\r\nx\r\nget k\r\n", "STORED\r\nVALUE k 1 1\r\nx\r\nEND\r\n"},
			{"set k 1 0 1\r\nx\r\nget k\r\n", "STORED\r\nVALUE k 1 1\r\nx\r\nEND\r\n"},
			{"delete k\r\nmg k\r\n", "NOT_FOUND\r\nEN\r\n"},
		} {
			t.Run(before.name+" "+strings.Fields(c.in)[0], func(t *testing.T) {
				s := testSession(t)
				if got := talk(t, s, before.in+c.in); got != before.out+c.out {
					t.Errorf("%q answers %q, want %q", before.in+c.in, got, before.out+c.out)
				}
			})
		}
	}
}

// token is a CAS id in an answer.
var token = regexp.MustCompile(`\bc?(\d{15,20})\b`)

// left is how long an item has to live, in an answer.
var left = regexp.MustCompile(` t(\d+)\b`)

// aged is an answer in which items have as long to live as in the one that is wanted, if no
// more is missing than may have passed since then.
func aged(answer, want string, since time.Time) string {
	passed := int(time.Since(since)/time.Second) + 1
	wants := left.FindAllString(want, -1)
	return left.ReplaceAllStringFunc(answer, func(is string) string {
		if len(wants) == 0 {
			return is
		}
		wanted := wants[0]
		wants = wants[1:]
		n, _ := strconv.Atoi(is[2:])
		if most, _ := strconv.Atoi(wanted[2:]); n <= most && n >= most-passed {
			return wanted
		}
		return is
	})
}

func TestDeleteSetAndAddVoidTheTokenOfEitherDialect(t *testing.T) {
	for name, command := range map[string]string{
		"delete": "delete k\r\n", "md": "md k\r\n", "set": "set k 0 0 1\r\nn\r\n", "add": "add k 0 0 1\r\nn\r\n",
		"flush_all": "flush_all\r\n", "ms": "ms k 1\r\nn\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := testSession(t)
			won := token.FindStringSubmatch(talk(t, s, "mg k N30 c\r\n"))
			leased := token.FindStringSubmatch(talk(t, s, "lease-get q\r\n"))
			if won == nil || leased == nil {
				t.Fatalf("no tokens: %q, %q", won, leased)
			}
			talk(t, s, command+strings.ReplaceAll(strings.ReplaceAll(command, " k ", " q "), " k\r", " q\r"))
			if got := talk(t, s, "ms k 1 C"+won[1]+"\r\nx\r\n"); got != "EX\r\n" && got != "NF\r\n" {
				t.Errorf("a void token of the meta dialect answers %q", got)
			}
			if got := talk(t, s, "lease-set q "+leased[1]+" 0 0 1\r\nx\r\n"); got != "NOT_STORED\r\n" {
				t.Errorf("a void token of the text dialect answers %q", got)
			}
			for _, key := range []string{"k", "q"} {
				if got := talk(t, s, "get "+key+"\r\n"); strings.Contains(got, "x") {
					t.Errorf("the refused value is there: %q", got)
				}
			}
		})
	}
}

func TestTheLeaseLoopOfEachDialect(t *testing.T) {
	s := testSession(t)
	began := time.Now()
	answers := func(in, want string) string {
		t.Helper()
		got := aged(talk(t, s, in), want, began)
		if masked := token.ReplaceAllString(got, "#"); masked != want {
			t.Fatalf("%q answers %q, want %q", in, masked, want)
		}
		if found := token.FindStringSubmatch(got); found != nil {
			return found[1]
		}
		return ""
	}
	first := answers("lease-get k\r\n", "LVALUE k # 0 0\r\n\r\nEND\r\n")
	answers("lease-get k\r\n", "LVALUE k 1 0 0\r\n\r\nEND\r\n")
	answers("lease-set k "+first+" 7 100 3\r\nabc\r\n", "STORED\r\n")
	answers("lease-get k\r\n", "VALUE k 7 3\r\nabc\r\nEND\r\n")
	answers("delete k\r\n", "DELETED\r\n")
	answers("get k\r\n", "END\r\n")
	answers("mg k v\r\n", "EN\r\n")
	second := answers("lease-get k\r\n", "LVALUE k # 7 3\r\nabc\r\nEND\r\n")
	answers("lease-get k\r\n", "LVALUE k 1 7 3\r\nabc\r\nEND\r\n")
	answers("lease-set k "+second+" 0 0 3 noreply\r\ndef\r\nget k\r\n", "VALUE k 0 3\r\ndef\r\nEND\r\n")

	won := answers("mg m N10 v c t\r\n", "VA 0 # t10 W\r\n\r\n")
	answers("mg m N10 v c t\r\n", "VA 0 # t10 Z\r\n\r\n")
	answers("ms m 3 C"+won+" T60\r\nabc\r\n", "HD\r\n")
	answers("mg m v t\r\n", "VA 3 t60\r\nabc\r\n")
	answers("md m I T30\r\n", "HD\r\n")
	again := answers("mg m N10 v c t\r\n", "VA 3 # t30 X W\r\nabc\r\n")
	answers("mg m N10 v c t\r\n", "VA 3 # t30 Z X\r\nabc\r\n")
	answers("ms m 3 C"+again+"\r\ndef\r\n", "HD\r\n")
	answers("mg m v\r\n", "VA 3\r\ndef\r\n")
}

func TestWhoIsToldToWaitCannotFill(t *testing.T) {
	s := testSession(t)
	// A client gives the stub the id that stands for waiting.
	if got, want := talk(t, s, "mg k N30 E1 c\r\nlease-get k\r\nlease-set k 1 0 0 1\r\nx\r\n"),
		"HD c1 W\r\nLVALUE k 1 0 0\r\n\r\nEND\r\nNOT_STORED\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestADeleteWithSecondsHoldsOff(t *testing.T) {
	s := testSession(t)
	const in = "delete k 60\r\nadd k 0 0 1\r\na\r\nms k 1 ME\r\na\r\nget k\r\nset k 0 0 1\r\nb\r\ndelete k\r\nadd k 0 0 1\r\nc\r\n"
	const want = "NOT_FOUND\r\nNOT_STORED\r\nNS\r\nEND\r\nSTORED\r\nDELETED\r\nSTORED\r\n"
	if got := talk(t, s, in); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := talk(t, s, "stats leases\r\n"); !strings.Contains(got, "STAT holdoff_refused 2\r\n") {
		t.Errorf("stats leases: %s", got)
	}
}

func TestALongHoldOffIsOne(t *testing.T) {
	s := testSession(t)
	if got, want := talk(t, s, "delete k 18446744073709551615\r\ndelete l 100000\r\nadd k 0 0 1\r\na\r\nadd l 0 0 1\r\na\r\n"),
		"NOT_FOUND\r\nNOT_FOUND\r\nNOT_STORED\r\nNOT_STORED\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDatagramsOnlyRead(t *testing.T) {
	s := testSession(t)
	talk(t, s, "set k 0 0 1\r\na\r\n")
	s.udp = true
	const refused = "SERVER_ERROR only get, gets and mg are answered by datagram\r\n"
	for in, want := range map[string]string{
		"get k\r\n": "VALUE k 0 1\r\na\r\nEND\r\n", "mg k v\r\n": "VA 1\r\na\r\n", "mg n N30\r\n": invalidFlag,
		"mg k T5\r\n": invalidFlag, "delete k\r\n": refused, "flush_all\r\n": refused, "lease-get n\r\n": refused,
	} {
		if got := talk(t, s, in); got != want {
			t.Errorf("%q answers %q, want %q", in, got, want)
		}
	}
}

func TestTheBinaryProtocolIsRefusedInWords(t *testing.T) {
	s := testSession(t)
	if got := talk(t, s, "\x80\x00\x00\x01k"); !strings.HasPrefix(got, "CLIENT_ERROR ") || !s.Closing() {
		t.Errorf("%q, closing %v", got, s.Closing())
	}
}

// What memcached does by mistake, or leaves to luck.
func TestWhatMemcachedLosesIsKept(t *testing.T) {
	long := strings.Repeat("k", 251)
	for _, c := range []struct{ name, in, out string }{
		{"T and E of a number that grows", "set k 0 0 1\r\n9\r\nma k T90 E77 t c v\r\nmg k t c v\r\n",
			"STORED\r\nVA 2 t90 c77\r\n10\r\nVA 2 t90 c77\r\n10\r\n"},
		{"E0 of a stub", "mg k N30 E0 c\r\n", "HD c# W\r\n"},
		{"E0 of a new number", "ma k N30 E0 c\r\n", "HD c#\r\n"},
		{"E0 of a stale item", "ms k 1\r\na\r\nmd k I E0\r\nmg k c\r\n", "HD\r\nHD\r\nHD c# X W\r\n"},
		{"a number that is white space", "set k 0 0 2\r\n\r\n\r\nset n 0 0 1\r\n5\r\nincr k 1\r\nma k\r\n",
			"STORED\r\nSTORED\r\n" + nonNumeric + nonNumeric},
		{"a flush before a delayed one", "set k 0 0 1\r\na\r\nflush_all\r\nflush_all 60\r\nget k\r\n", "STORED\r\nOK\r\nOK\r\nEND\r\n"},
		{"a tab for the flags", "set k \t 0 1\r\na\r\nget k\r\n", badFormat + "END\r\n"},
		{"a tab for the expiry", "set k 0 \t 1\r\na\r\nget k\r\n", badFormat + "END\r\n"},
		{"a key too long behind others", "set k 0 0 1\r\na\r\nget k\r\nget k " + long + "\r\n", "STORED\r\nVALUE k 0 1\r\na\r\nEND\r\n" + badFormat + "\r\n"},
		{"a value that does not come", "set k 0 0 1\r\na\r\nget k\r\nset k 0 0 9\r\nab", "STORED\r\nVALUE k 0 1\r\na\r\nEND\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := testSession(t)
			began := time.Now()
			if got := token.ReplaceAllString(aged(talk(t, s, c.in), c.out, began), "c#"); got != c.out {
				t.Errorf("%q answers %q, want %q", c.in, got, c.out)
			}
		})
	}
}

func TestLeasesOfBothDialectsAreCounted(t *testing.T) {
	s := testSession(t)
	won := token.FindStringSubmatch(talk(t, s, "mg k N30 c\r\n"))
	talk(t, s, "mg k N30\r\nms k 1 C1\r\nx\r\nms k 1 C"+won[1]+"\r\nx\r\nmd k I\r\nmg k v\r\nmg k v\r\n")
	talk(t, s, "lease-get q\r\nlease-get q\r\nlease-set q 5 0 0 1\r\nx\r\n")
	got := talk(t, s, "stats leases\r\n")
	for _, want := range []string{"tokens_granted 3", "hot_misses 3", "fills 1", "fills_refused 2", "stale_hits 2"} {
		if !strings.Contains(got, "STAT "+want+"\r\n") {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
