package main

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// small is a run that takes moments.
func small(t *testing.T) *bench {
	t.Helper()
	servers.Need(t, servers.KindMemcached)
	// Nothing is lost on loopback; on a busy machine it comes late.
	whole := lostAfter
	t.Cleanup(func() { lostAfter = whole })
	lostAfter = int64(10 * time.Second)
	return &bench{
		starters: [2]starter{{"memcached", startMemcached}, {"memcached again", startMemcached}},
		rounds:   2, warm: 10 * time.Millisecond, seconds: 50 * time.Millisecond, brief: true,
		report: &report{rounds: 2, seconds: 50 * time.Millisecond}, progress: io.Discard,
	}
}

func TestEveryShapeGetsRightAnswersFromMemcached(t *testing.T) {
	for _, l := range layouts {
		b := small(t)
		g := group{l, filling{5_000, 135}, shapes}
		if err := b.speed(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		if len(b.report.rows) != len(shapes) {
			t.Fatalf("%d rows of %d shapes", len(b.report.rows), len(shapes))
		}
		var total [2]span // a round may be starved where much else goes on
		for _, r := range b.report.rows {
			for side := range r.spans {
				var all span
				for _, s := range r.spans[side] {
					all = all.plus(s)
				}
				if all.keys == 0 || all.wall < 100*time.Millisecond || all.client <= 0 {
					t.Errorf("%s: %+v", g.name(r.shape), all)
				}
				total[side] = total[side].plus(all)
			}
			if wants := r.shape.latency && l.pinned; wants != (r.halfRate > 0) || wants && len(r.times[1][0]) != b.rounds {
				t.Errorf("%s: half rate %v, times %v", g.name(r.shape), r.halfRate, r.times)
			}
		}
		for side, all := range total {
			if all.server <= 0 {
				t.Errorf("%s: all shapes together took no processor time: %+v", b.starters[side].name, all)
			}
		}
		var text strings.Builder
		b.report.speedMarkdown(&text, b.names())
		if n := strings.Count(text.String(), "5k of 135B"); n < len(shapes) {
			t.Errorf("%d rows printed:\n%s", n, text.String())
		}
	}
	if err := pin(os.Getpid(), -1); err != nil {
		t.Error(err)
	}
}

func TestValuesOfEverySizeGetThrough(t *testing.T) {
	b := small(t)
	for _, size := range []int{1, copied, copied + 1, 60_000, 300_000} {
		g := group{layouts[0], filling{200, size}, []shape{shapes[0], shapes[2], shapes[9]}}
		if err := b.speed(t.Context(), g); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if err := pin(os.Getpid(), -1); err != nil {
		t.Error(err)
	}
}

// A server that is emptied behind the client's back answers with misses.
func TestAMissWhereThereMustBeAValueFailsTheRun(t *testing.T) {
	b := small(t)
	items := newItems(1000, 135)
	v, err := b.starters[0].launch(t.Context(), group{layout: layouts[1], filling: filling{1000, 135}}, items)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if err := v.Client().DeleteAll(); err != nil {
		t.Fatal(err)
	}
	c, err := newClient(layouts[1], shapes[0], items, v)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if _, err := c.measure(0, 0, 50*time.Millisecond); !errors.Is(err, errWrong) {
		t.Errorf("got %v", err)
	}
}

func TestWhatWasSetIsReadAgain(t *testing.T) {
	b := small(t)
	items := newItems(1000, 135)
	v, err := b.starters[0].launch(t.Context(), group{layout: layouts[1], filling: filling{1000, 135}}, items)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	pick := func() picker { return &limited{&uniform{1, 1000}, 500} }
	if err := v.check(items, pick(), '0'); err != nil {
		t.Errorf("what the filling set: %v", err)
	}
	if err := v.check(items, pick(), '1'); !errors.Is(err, errWrong) {
		t.Errorf("flags that nobody set: %v", err)
	}
}

func TestMemoryIsComparedAtTheSameSize(t *testing.T) {
	b := small(t)
	// The second is larger than asked for, until it is asked for less.
	b.starters[1].start = func(ctx context.Context, udp bool, args ...string) (*servers.Memcached, error) {
		for i, a := range args {
			if n, err := strconv.Atoi(a); err == nil && args[i-1] == "-m" {
				args[i] = strconv.Itoa(n + n/4)
			}
		}
		return startMemcached(ctx, udp, args...)
	}
	defer func(all []contents) { memoryContents = all }(memoryContents)
	memoryContents = memoryContents[:1]
	if err := b.memory(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := b.report.memory
	ours, theirs := float64(r.rows[0].resident[1]), float64(r.rows[0].resident[0])
	if ours/theirs < 0.97 || ours/theirs > 1.03 || r.megabytes[1] >= r.megabytes[0] {
		t.Errorf("resident %v and %v with -m %v", theirs, ours, r.megabytes)
	}
	if ratio := ratioOf(r.rows[0].figures[1], r.rows[0].figures[0]).median; ratio < 0.95 || ratio > 1.05 {
		t.Errorf("in the same memory the same server kept %v", r.rows[0].figures)
	}
}

func TestTheClockOfAProcessIsItsProcessorTime(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo; read line")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it has worked, and waits
		t.Fatal(err)
	}
	clock, err := processClock(cmd.Process.Pid).read()
	if err != nil {
		t.Error(err)
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/stat")
	if err != nil {
		t.Error(err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil && !regexp.MustCompile("exit status 1").MatchString(err.Error()) {
		t.Error(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond
	ticks := time.Duration(user+system) * tick
	if d := time.Duration(clock) - ticks; clock == 0 || d < -2*tick || d > 2*tick {
		t.Errorf("%v by its clock, %v by /proc", time.Duration(clock), ticks)
	}
}

// A thread that was starved while the rate was measured must not make a run endless.
func TestARateThatIsNoneIsAnError(t *testing.T) {
	for _, rate := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if err := new(loop).open(rate, 0, time.Millisecond, new(histogram)); err == nil {
			t.Errorf("%v requests a second were sent", rate)
		}
	}
}
