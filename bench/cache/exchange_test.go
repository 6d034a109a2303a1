package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// answers are what a server must answer to an exchange.
func answers(d *dialect, x *exchange) []byte {
	var b bytes.Buffer
	value := func(k uint32) {
		fmt.Fprintf(&b, "VALUE %s%08x %c %d\r\n%s\r\n", keyPrefix, k, d.flags, d.items.size, d.items.value(k))
	}
	for i, k := range x.keys[:x.n] {
		switch x.verb {
		case verbGet:
			value(k)
			b.WriteString("END\r\n")
		case verbGetMany:
			if value(k); i == x.n-1 {
				b.WriteString("END\r\n")
			}
		case verbSet:
			b.WriteString("STORED\r\n")
		case verbDelete:
			b.WriteString("DELETED\r\n")
		case verbMiss:
			b.WriteString("NOT_FOUND\r\n")
		}
	}
	return b.Bytes()
}

func asked(v verb, keys ...uint32) *exchange {
	x := &exchange{verb: v, n: len(keys)}
	copy(x.keys[:], keys)
	return x
}

var verbs = []verb{verbGet, verbGetMany, verbSet, verbDelete, verbMiss}

func TestRightAnswersAreTakenHoweverTheyAreCut(t *testing.T) {
	d := newDialect(newItems(1000, 23))
	for _, v := range verbs {
		right := answers(d, asked(v, 7, 999, 7))
		for first := range right {
			for second := first; second < len(right); second += 7 {
				x := asked(v, 7, 999, 7)
				for _, part := range [][]byte{right[:first], right[first:second], right[second:]} {
					if err := d.take(x, part); err != nil {
						t.Fatalf("%s, cut at %d and %d: %v", v, first, second, err)
					}
				}
				if !x.done() {
					t.Fatalf("%s, cut at %d and %d: not done", v, first, second)
				}
			}
		}
	}
}

func TestNoByteOfAnAnswerCanBeWrong(t *testing.T) {
	d := newDialect(newItems(1000, 23))
	d.exact, d.flags = true, '5'
	for _, v := range verbs {
		right := answers(d, asked(v, 7, 999))
		for i := range right {
			wrong := bytes.Clone(right)
			wrong[i] ^= 1
			x := asked(v, 7, 999)
			// Cut in two, so that the wrong byte may be the first of a part.
			err := d.take(x, wrong[:i])
			if err != nil {
				t.Fatalf("%s: the %d bytes before the wrong one: %v", v, i, err)
			}
			if err := d.take(x, wrong[i:]); !errors.Is(err, errWrong) {
				t.Fatalf("%s: byte %d wrong: got %v", v, i, err)
			}
		}
		x := asked(v, 7, 999)
		if err := d.take(x, append(right, 'x')); err == nil {
			t.Errorf("%s: a byte too many was taken", v)
		}
	}
}

func TestAnotherKeysValueIsWrong(t *testing.T) {
	d := newDialect(newItems(1000, 135))
	if err := d.take(asked(verbGet, 7), answers(d, asked(verbGet, 8))); !errors.Is(err, errWrong) {
		t.Errorf("another key's whole answer: %v", err)
	}
	mixed := strings.Replace(string(answers(d, asked(verbGet, 8))), "00000008", "00000007", 1)
	if err := d.take(asked(verbGet, 7), []byte(mixed)); !errors.Is(err, errWrong) {
		t.Errorf("another key's value under the right key: %v", err)
	}
	if err := d.take(asked(verbGet, 7), []byte("END\r\n")); !errors.Is(err, errWrong) {
		t.Errorf("a miss: %v", err)
	}
}

func TestRequestsAreCommands(t *testing.T) {
	d := newDialect(newItems(1000, 3))
	d.flags = '4'
	v := func(k uint32) string { return string(d.items.value(k)) }
	for _, test := range []struct {
		verb verb
		want string
	}{
		{verbGet, "get page:item:00000007\r\nget page:item:000003e7\r\n"},
		{verbGetMany, "get page:item:00000007 page:item:000003e7\r\n"},
		{verbSet, "set page:item:00000007 4 0 3\r\n" + v(7) + "\r\nset page:item:000003e7 4 0 3\r\n" + v(999) + "\r\n"},
		{verbDelete, "delete page:item:00000007\r\ndelete page:item:000003e7\r\n"},
		{verbMiss, "delete page:none:00000007\r\ndelete page:none:000003e7\r\n"},
	} {
		if whole := d.request(asked(test.verb, 7, 999)); !whole || string(d.out) != test.want {
			t.Errorf("%s: %q, want %q", test.verb, d.out, test.want)
		}
	}
}

func TestAskingAndComparingAllocatesNothing(t *testing.T) {
	d := newDialect(newItems(1000, 135))
	for _, v := range verbs {
		x := asked(v, 7, 999, 3)
		right := answers(d, x)
		if n := testing.AllocsPerRun(100, func() {
			x.at, x.off = 0, 0
			d.request(x)
			if err := d.take(x, right); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", v, n)
		}
	}
}
