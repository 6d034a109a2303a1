package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/admin"
)

// firstCertificate is the first one in a PEM file.
func firstCertificate(text []byte) (*x509.Certificate, error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("it holds no certificate in PEM form")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
		text = rest
	}
}

// statusTable is what the daemon is at, for people.
func statusTable(s *admin.Status) string {
	var b strings.Builder
	verdict := "in step"
	switch {
	case !s.Ready:
		verdict = "NOT IN STEP"
	case s.Trouble():
		verdict = "IN TROUBLE"
	}
	fmt.Fprintf(&b, "%s  %s, running for %s\n\n", verdict, s.Version, span(s.Now.Sub(s.Started)))
	source := s.Source.Address
	if s.Source.Version != "" {
		source += ", " + s.Source.Version
	}
	if s.Source.Tailing {
		source += ", is read"
	} else {
		source += ", is not read"
	}
	if !s.Source.Heard.IsZero() {
		source += ", heard " + span(s.Now.Sub(s.Source.Heard)) + " ago"
	}
	fmt.Fprintf(&b, "source    %s\n", source)
	fmt.Fprintf(&b, "read      %s keys/s, %s commits/s", figure(s.Read.KeysPerSecond), figure(s.Read.TransactionsPerSecond))
	if !s.Source.NewestCommit.IsZero() {
		fmt.Fprintf(&b, ", newest %s ago", span(s.Now.Sub(s.Source.NewestCommit)))
	}
	fmt.Fprintf(&b, "; commit to read %s, to visible %s\n", delayText(s.Read.CommitToRead), delayText(s.Read.ReadToVisible))
	fmt.Fprintf(&b, "Log       %s of %s", size(s.Log.UsedBytes), size(s.Log.CapacityBytes))
	if s.Log.CatchUp > 0 {
		fmt.Fprintf(&b, ", %d further readings to catch up", s.Log.CatchUp)
	}
	b.WriteString("\n\n")
	rows := [][]string{{"CLUSTER", "STATE", "LAG", "DELETES/S", "IN FLIGHT", "DELAY 50 %", "99 %", "REFUSED", "UP TO"}}
	for i := range s.Clusters {
		c := &s.Clusters[i]
		median, p99 := "-", "-"
		if c.CommitToAcknowledged.Count > 0 {
			median, p99 = seconds(c.CommitToAcknowledged.Median), seconds(c.CommitToAcknowledged.P99)
		}
		lag := seconds(c.LagSeconds)
		if c.State == "gap" {
			lag = "-" // nobody knows what is missing, nor since when
		}
		rows = append(rows, []string{
			c.Name, strings.ReplaceAll(c.State, "_", " "), lag, figure(c.DeletesPerSecond), strconv.FormatUint(c.InFlight, 10),
			median, p99, strconv.Itoa(c.Refused), c.Position,
		})
	}
	b.WriteString(columns(rows))
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "\n! %s\n", oneLine(p))
	}
	for i := range s.Clusters {
		for _, a := range s.Clusters[i].Advice {
			fmt.Fprintf(&b, "\n%s: %s: %s\n", s.Clusters[i].Name, a.Level, oneLine(a.What))
			if a.Do != "" {
				fmt.Fprintf(&b, "  %s\n", oneLine(a.Do))
			}
		}
	}
	return b.String()
}

// keyTable is what is known of a key, for people, and no more than that.
func keyTable(key string, m *admin.Memory) string {
	var b strings.Builder
	if len(m.Found) == 0 {
		fmt.Fprintf(&b, "%s: not as far as the daemon remembers, which is no proof that it never was.\n", oneLine(key))
	}
	for i := range m.Found {
		inv := &m.Found[i]
		fmt.Fprintf(&b, "%s  %s", clock(inv.Time), oneLine(inv.Key))
		if inv.Cause != "" {
			fmt.Fprintf(&b, "  %s", inv.Cause)
		}
		if inv.Table != "" {
			fmt.Fprintf(&b, " on %s", oneLine(strings.TrimPrefix(inv.Schema+"."+inv.Table, ".")))
		}
		fmt.Fprintf(&b, "  %s:%d", oneLine(inv.Log), inv.Pos)
		if inv.GTID != "" {
			fmt.Fprintf(&b, "  %s", inv.GTID)
		}
		b.WriteByte('\n')
		for _, d := range inv.Delivered {
			fmt.Fprintf(&b, "    %s: %s", d.Cluster, outcomes[d.State])
			switch {
			case !d.At.IsZero():
				fmt.Fprintf(&b, " at %s", clock(d.At))
				if d.State == "acknowledged" && !inv.Time.IsZero() {
					fmt.Fprintf(&b, ", %s after the commit", seconds(max(0, d.At.Sub(inv.Time)).Seconds()))
				}
			case d.State == "acknowledged":
				b.WriteString(" at a time that is not remembered")
			}
			if d.Reason != "" {
				fmt.Fprintf(&b, " (%s)", oneLine(d.Reason))
			}
			b.WriteByte('\n')
		}
	}
	if m.More {
		b.WriteString("and older ones\n")
	}
	switch {
	case m.Since.IsZero():
		b.WriteString("It remembers nothing yet: no commit has been read since the reading began.\n")
	default:
		fmt.Fprintf(&b, "It remembers back to %s (%s:%d).", clock(m.Since), oneLine(m.Log), m.Pos)
		if len(m.Found) == 0 {
			b.WriteString(" What the source's log still holds: mcsqueal replay --config FILE --from oldest --dry-run")
		}
		b.WriteByte('\n')
	}
	if m.Waiting > 0 {
		fmt.Fprintf(&b, "%d commits that were read cannot be read on the source yet; they were not looked at.\n", m.Waiting)
	}
	return b.String()
}

var outcomes = map[string]string{
	"acknowledged": "acknowledged", "waiting": "not acknowledged yet", "refused": "refused for now, and tried again; last",
	"set_aside": "refused for good", "no_match": "does not want this key", "unsure": "acknowledged, or among the keys that are refused",
}

// oneLine keeps what others have said from being anything but text on a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, s)
}

// columns aligns rows, the last column apart.
func columns(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			if i == len(row)-1 {
				b.WriteString(cell)
				break
			}
			fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// figure is a number of things a second.
func figure(f float64) string {
	if f > 0 && f < 10 {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

func delayText(d admin.Delay) string {
	if d.Count == 0 {
		return "-"
	}
	return seconds(d.Median) + " (99 %: " + seconds(d.P99) + ")"
}

// seconds is a time to three digits or less.
func seconds(s float64) string {
	switch {
	case s <= 0:
		return "0 s"
	case s < 1e-3:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case s < 1:
		return fmt.Sprintf("%.3g ms", s*1e3)
	case s < 60:
		return fmt.Sprintf("%.3g s", s)
	}
	return span(time.Duration(s * float64(time.Second)))
}

// span is a time to the second.
func span(d time.Duration) string { return max(0, d).Round(time.Second).String() }

// clock is a moment, here.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05.000")
}
