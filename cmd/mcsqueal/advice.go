package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/admin"
	"github.com/mcsqueal/mcsqueal/pipeline"
)

const (
	// lateAt is from which lag on it is worth saying that a cluster is late, and fullAt
	// from which part of the Log on that it is about to fall behind.
	lateAt = 5 * time.Second
	fullAt = .75
)

// advice is what is not as it should be with a cluster, and what to do about it.
func (c *clusterReport) advice(p *pipeline.ClusterStatus, s *admin.Cluster, capacity int64) (all []admin.Advice) {
	say := func(level, what, do string) { all = append(all, admin.Advice{Level: level, What: what, Do: do}) }
	switch {
	case p.Gap != nil:
		say("error", "A gap: "+strings.TrimPrefix(p.Gap.Error(), "gap: "), p.WaysOn)
	case s.State == "gap":
		say("error", "A gap: its caches are being flushed for it, and then it goes on.", "If that takes long, the log says what fails.")
	case s.State == "catching_up":
		say("info", "It was behind, and catches up on a reading of the log of its own.", "Nothing; it joins the others when it has caught up. max_rate, if set, holds it back.")
	case s.State == "waiting":
		say("warning", "It waits for a reading of the log: to catch up while others do, or for the source.", "Nothing, if the source is being read. Raise catch_up if clusters often wait for each other.")
	}
	c.connections(s, say)
	if n := s.Refused; n > 0 {
		level, do := "warning", "Nothing is lost: they are tried again until they are taken. Mend what the caches say; a router says so while a server behind it is gone."
		if n >= c.config.RefusedMax {
			level, do = "error", "Nothing else is sent to this cluster until there are fewer than refused_max. "+do
		}
		say(level, fmt.Sprintf("%s refused for now%s.", keysAre(uint64(n)), because(s.RefusedKeys)), do)
	}
	if n := s.SetAside; n > 0 {
		say("warning", fmt.Sprintf("Set aside: %s refused for good, and cannot be deleted here%s.", keysAre(n), because(s.SetAsideKeys)), "Shorten such keys, or the cluster's prefix; what is cached under them stays until it expires.")
	}
	if late := time.Duration(s.LagSeconds * float64(time.Second)); late >= lateAt && s.State == "in_step" && s.Refused == 0 && connected(s) {
		say("warning", fmt.Sprintf("It is %s late, though it is connected.", late.Round(time.Second)), "Its caches answer slowly, or commits take long to be readable on the source; see the delays.")
	}
	if capacity > 0 && s.State == "in_step" && float64(s.LagBytes) > fullAt*float64(capacity) {
		say("warning", "It has nearly a whole Log to acknowledge. If others do not wait for it, it goes on by itself, on a reading of its own.", "Nothing; raise log_bytes if it happens often.")
	}
	return all
}

// connections says which routers or servers are not connected. Of routers any one
// suffices.
func (c *clusterReport) connections(s *admin.Cluster, say func(level, what, do string)) {
	if s.State == "gap" {
		return
	}
	var away []string
	for _, each := range s.Connections {
		if each.Connected.IsZero() && each.Error != "" {
			away = append(away, each.Error)
		}
	}
	if len(away) == 0 {
		return
	}
	if len(c.config.Routers) > 0 {
		say("error", "None of its routers can be used. The last one tried: "+away[0],
			"Nothing is lost as long as the source keeps its log: its deletes wait there. Bring a router back, or correct routers and reload.")
		return
	}
	say("error", fmt.Sprintf("%d of its %d servers cannot be used: %s", len(away), len(s.Connections), strings.Join(away, "; ")),
		"Nothing is lost as long as the source keeps its log: the deletes wait there, and the others get theirs. Bring it back, or take it out of servers and reload.")
}

func connected(s *admin.Cluster) bool {
	for _, each := range s.Connections {
		if each.Connected.IsZero() {
			return false
		}
	}
	return true
}

func keysAre(n uint64) string {
	if n == 1 {
		return "1 key is"
	}
	return fmt.Sprintf("%d keys are", n)
}

// because repeats what was said of the last of some keys.
func because(keys []admin.Trouble) string {
	if len(keys) == 0 || keys[0].Reason == "" {
		return ""
	}
	return ", the last because: " + keys[0].Reason
}
