package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNumbersHaveThreeDigitsThatMeanSomething(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 20: "20", 18.04: "18.0", 1234.5: "1234", 999_999: "999999", 1_482_345: "1.48M",
		0.694: "0.69", 0.0625: "0.062", -0.07: "-0.070", -25.14: "-25.1",
	} {
		if got := number(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}

func TestTheTableSaysWhatWasReached(t *testing.T) {
	tab := &table{machine: "a machine"}
	tab.section("speed", "how fast")
	tab.compare("reading", "MB/s", []float64{80, 100, 90}, "peer", []float64{100, 100, 100}, target{atLeast: 0.9})
	tab.compare("latency", "ms", []float64{3, 2, 3}, "peer", []float64{1, 1, 1}, target{atMost: 1.5})
	tab.add(row{what: "peak", ours: 70, unit: "MiB", target: target{atMost: 128}})
	tab.add(row{what: "before", ours: -1, unit: "ms", peer: "peer", theirs: -2})
	tab.note("%d rounds.", 3)

	var text strings.Builder
	if err := tab.text(&text); err != nil {
		t.Fatal(err)
	}
	want := `a machine

speed: how fast
           mcsqueal  peer            ratio  spread     target  met
  reading  90 MB/s   peer  100 MB/s  0.90   0.80–1     ≥ 0.90  yes
  latency  3 ms      peer  1 ms      3      2–3        ≤ 1.50  no
  peak     70 MiB                                      ≤ 128   yes
  before   -1 ms     peer  -2 ms                               
  3 rounds.
`
	if diff := cmp.Diff(lines(want), lines(text.String())); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}

	path := filepath.Join(t.TempDir(), "table.md")
	if err := tab.writeFile(path); err != nil {
		t.Fatal(err)
	}
	markdown, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want = `a machine

### speed: how fast

|  | mcsqueal | peer |  | ratio | spread | target | met |
| --- | --- | --- | --- | --- | --- | --- | --- |
| reading | 90 MB/s | peer | 100 MB/s | 0.90 | 0.80–1 | ≥ 0.90 | yes |
| latency | 3 ms | peer | 1 ms | 3 | 2–3 | ≤ 1.50 | no |
| peak | 70 MiB |  |  |  |  | ≤ 128 | yes |
| before | -1 ms | peer | -2 ms |  |  |  |  |

3 rounds.
`
	if diff := cmp.Diff(want, string(markdown)); diff != "" {
		t.Errorf("Markdown (-want +got):\n%s", diff)
	}
}

// lines are a text's, with runs of blanks made one: columns are tabwriter's affair.
func lines(s string) (list []string) {
	for line := range strings.Lines(s) {
		list = append(list, strings.Join(strings.Fields(line), " "))
	}
	return list
}

func TestMistakesAreSaid(t *testing.T) {
	for args, want := range map[string]string{
		"-run=nothing": "files, rules, live-mysql",
		"-run=(":       "missing closing",
		"-fast":        "usage",
	} {
		err := run(t.Context(), []string{args}, &strings.Builder{}, &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, expected it to say %q", args, err, want)
		}
	}
}
