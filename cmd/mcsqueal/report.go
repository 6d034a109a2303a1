package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/admin"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/extract"
	"github.com/mcsqueal/mcsqueal/histogram"
	"github.com/mcsqueal/mcsqueal/pipeline"
	"github.com/mcsqueal/mcsqueal/release"
	"github.com/mcsqueal/mcsqueal/sink/memcache"
)

// report tells what a generation is at. Any goroutine may use it.
type report struct {
	pipeline *pipeline.Pipeline
	read     *pipeline.Metrics
	late     pipeline.Windows
	clusters []clusterReport
	catchUp  int
}

// clusterReport is a cluster, and what tells of it.
type clusterReport struct {
	config config.Cluster
	match  *regexp.Regexp // nil: every key is its
	sinks  []*memcache.Sink
	late   memcache.Windows
}

func newReport(g *generation, p *pipeline.Pipeline, d *delivery, read *pipeline.Metrics) *report {
	r := &report{pipeline: p, read: read, late: read.Windows(), catchUp: g.config.CatchUp}
	for i, c := range g.clusters {
		r.clusters = append(r.clusters, clusterReport{c, matcher(c), d.first[i], d.first[i][0].Windows()})
	}
	return r
}

// status is what the daemon is at.
func (d *daemon) status() admin.Status {
	r := d.now().report
	p, totals := r.pipeline.Status(), r.read.Totals()
	s := admin.Status{
		Now: time.Now(), Version: "mcsqueal " + release.Version(), Started: d.started,
		Read: admin.Read{
			Transactions: totals.Transactions, Keys: totals.Keys, RowsWithoutText: totals.RowsWithoutText,
			CommitToRead: delayOf(r.late.SinceCommit), ReadToVisible: delayOf(r.late.SinceRead),
		},
		Log: admin.Log{UsedBytes: p.LogUsed, CapacityBytes: p.LogCapacity, CatchUp: p.CatchUp},
		Source: admin.Source{
			Address: p.Source.Address, Version: p.Source.Version, Tailing: p.Source.Tailing, Heard: p.Source.Heard,
			NewestCommit: totals.NewestCommit, UnreadableSeconds: p.Unreadable.Seconds(),
		},
	}
	if p.Source.Lost != nil {
		s.Source.Lost, s.Source.LostAt = p.Source.Lost.Error(), p.Source.LostAt
	}
	err := d.ready()
	if s.Ready = err == nil; !s.Ready {
		s.Problems = strings.Split(err.Error(), "\n")
	}
	for i := range r.clusters {
		s.Clusters = append(s.Clusters, r.clusters[i].status(&p.Clusters[i], p.LogCapacity, s.Now))
	}
	return s
}

func delayOf(w *histogram.Window) admin.Delay {
	n, q := w.Lately(.5, .99)
	return admin.Delay{Count: n, Median: q[0], P99: q[1]}
}

func (c *clusterReport) status(p *pipeline.ClusterStatus, capacity int64, now time.Time) admin.Cluster {
	totals := c.sinks[0].Totals()
	s := admin.Cluster{
		Name: p.Name, State: p.State, Position: p.Position.String(), LagBytes: p.Lag.Bytes, Refused: p.Lag.Refused,
		InFlight: totals.InFlight, Deleted: totals.Deleted, NotFound: totals.NotFound, Refusals: totals.Refused,
		SetAside: totals.SetAside, Batches: totals.Batches, Lost: totals.Lost,
		VisibleToAcknowledged: delayOf(c.late.SinceVisible), CommitToAcknowledged: delayOf(c.late.SinceCommit),
	}
	if p.Lag.Oldest != 0 {
		s.LagSeconds = max(0, now.Sub(time.UnixMicro(p.Lag.Oldest)).Seconds())
	}
	for _, sink := range c.sinks {
		state := sink.State()
		connection := admin.Connection{
			Kind: state.Kind, Address: state.Address, Connected: state.Connected, Version: state.Version, Protocol: state.Protocol,
		}
		if state.Err != nil {
			connection.Error, connection.ErrorAt = state.Err.Error(), state.ErrAt
		}
		s.Connections = append(s.Connections, connection)
		s.RefusedKeys = append(s.RefusedKeys, troubles(state.Refused)...)
		s.SetAsideKeys = append(s.SetAsideKeys, troubles(state.Aside)...)
	}
	s.Advice = c.advice(p, &s, capacity)
	return s
}

func troubles(all []memcache.Troubled) []admin.Trouble {
	told := make([]admin.Trouble, 0, len(all))
	for _, t := range all {
		told = append(told, admin.Trouble{Key: escaped([]byte(t.Key)), Reason: strings.ToValidUTF8(t.Reason, "\ufffd"), At: t.At})
	}
	return told
}

// escaped is a key as a tag would write it.
func escaped(key []byte) string { return string(extract.AppendEscaped(nil, key)) }

// latest are the last invalidations.
func (d *daemon) latest(ctx context.Context, most int) ([]admin.Invalidation, error) {
	r := d.now().report
	found, err := r.pipeline.Latest(ctx, most)
	return r.invalidations(found), err
}

// recall looks up what is remembered of a key.
func (d *daemon) recall(ctx context.Context, q admin.Query) (admin.Memory, error) {
	r := d.now().report
	key, err := extract.Unescape(q.Key)
	if err != nil {
		return admin.Memory{}, err
	}
	wanted := pipeline.KeyIs(key)
	if q.Part {
		wanted = pipeline.KeyHas(key)
	}
	found, more, reach, err := r.pipeline.Recall(ctx, q.Most, wanted)
	m := admin.Memory{
		Found: r.invalidations(found), More: more, Log: reach.File.Name, Pos: reach.Start, Whole: reach.Whole, Waiting: reach.Waiting,
	}
	if reach.Time != 0 {
		m.Since = time.UnixMicro(reach.Time)
	}
	return m, err
}

func (r *report) invalidations(found []pipeline.Recalled) []admin.Invalidation {
	told := make([]admin.Invalidation, 0, len(found))
	for i := range found {
		f := &found[i]
		inv := admin.Invalidation{
			Key: escaped(f.Key), Cause: f.Cause.String(), Schema: string(f.Schema), Table: string(f.Table), Log: f.File.Name, Pos: f.Start,
		}
		if !f.GTID.IsZero() {
			inv.GTID = string(f.GTID.Append(nil))
		}
		if f.Time != 0 {
			inv.Time = time.UnixMicro(f.Time)
		}
		if f.Read != 0 {
			inv.Read = time.UnixMicro(f.Read)
		}
		for i, a := range f.Acked {
			inv.Delivered = append(inv.Delivered, r.clusters[i].delivered(f, a))
		}
		told = append(told, inv)
	}
	return told
}

// delivered is what has become of an invalidation in the cluster. That a batch was
// answered does not say that each of its keys was taken.
func (c *clusterReport) delivered(f *pipeline.Recalled, a pipeline.Acked) admin.Delivered {
	d := admin.Delivered{Cluster: a.Cluster, State: "waiting"}
	if c.match != nil && !c.match.Match(f.Key) {
		d.State = "no_match"
		return d
	}
	if !a.Done {
		return d
	}
	d.State = "acknowledged"
	if a.At != 0 {
		d.At = time.UnixMicro(a.At)
	}
	for _, sink := range c.sinks {
		t, ok, complete := sink.Trouble(f.Key)
		switch {
		case ok && t.Outcome == memcache.OutcomeSetAside:
			d.State, d.At, d.Reason = "set_aside", t.At, t.Reason
			return d
		case ok && t.Outcome == memcache.OutcomeRefused && !a.Settled:
			d.State, d.At, d.Reason = "refused", t.At, t.Reason
			return d
		case ok && t.Outcome == memcache.OutcomeTaken && a.At != 0 && !t.Since.After(d.At) && t.At.After(d.At):
			d.At = t.At // it was refused with this transaction's batch
		case !ok && !complete && !a.Settled && a.Refused > 0:
			d.State, d.At = "unsure", time.Time{}
		}
	}
	return d
}

// effective is the configuration that is at work, as YAML. There are no secrets in it.
func (d *daemon) effective() (string, error) {
	text, err := d.now().config.YAML()
	if err != nil {
		return "", fmt.Errorf("the effective configuration cannot be told: %w", err)
	}
	return string(text), nil
}
