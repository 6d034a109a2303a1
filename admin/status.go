package admin

import (
	"slices"
	"time"
)

// Status is what a daemon says of itself: what /api/status serves as JSON, the status
// page shows and mcsqueal status prints. Times that are not known are left out.
type Status struct {
	Now     time.Time `json:"now"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// Ready, and if not, why.
	Ready    bool      `json:"ready"`
	Problems []string  `json:"problems,omitempty"`
	Source   Source    `json:"source"`
	Read     Read      `json:"read"`
	Log      Log       `json:"log"`
	Clusters []Cluster `json:"clusters"`
}

// Trouble tells whether a cluster needs somebody, though the daemon may be ready: its log is
// read and the cluster is served from it, and none of its caches may be there to be served.
func (s *Status) Trouble() bool {
	return slices.ContainsFunc(s.Clusters, func(c Cluster) bool {
		return slices.ContainsFunc(c.Advice, func(a Advice) bool { return a.Level == "error" })
	})
}

// Source is the server whose log is read.
type Source struct {
	Address string `json:"address"`
	Version string `json:"version,omitempty"`
	// Tailing: its log is being read, and not only waited for.
	Tailing bool `json:"tailing"`
	// Heard is when it last said anything, a heartbeat at least.
	Heard time.Time `json:"heard,omitzero"`
	// NewestCommit is the commit time of the last transaction that was read.
	NewestCommit time.Time `json:"newest_commit,omitzero"`
	// Lost is why the last connection ended, and LostAt when.
	Lost   string    `json:"lost,omitempty"`
	LostAt time.Time `json:"lost_at,omitzero"`
	// UnreadableSeconds is how long commits have been waited for that are in its log and
	// cannot be read there.
	UnreadableSeconds float64 `json:"unreadable_seconds"`
}

// Read is what was read since the start, and how late it came in the last minute.
type Read struct {
	Transactions uint64 `json:"transactions"`
	Keys         uint64 `json:"keys"`
	// Rates over the last ten seconds; filled in by the Server.
	TransactionsPerSecond float64 `json:"transactions_per_second"`
	KeysPerSecond         float64 `json:"keys_per_second"`
	RowsWithoutText       uint64  `json:"rows_without_text"`
	CommitToRead          Delay   `json:"commit_to_read"`
	ReadToVisible         Delay   `json:"read_to_visible"`
}

// Delay is how long something took in the last minute, in seconds: half of it at most
// the median, all but one in a hundred at most the 99th percentile. Count is how much of
// it there was; without any both are 0.
type Delay struct {
	Count  uint64  `json:"count"`
	Median float64 `json:"median"`
	P99    float64 `json:"p99"`
}

// Log is the memory between the reading and the clusters.
type Log struct {
	UsedBytes     int64 `json:"used_bytes"`
	CapacityBytes int64 `json:"capacity_bytes"`
	// CatchUp is how many clusters' readings there are beside the main one.
	CatchUp int `json:"catch_up_readings"`
}

// Cluster is a set of caches.
type Cluster struct {
	Name string `json:"name"`
	// State is in_step, catching_up, waiting (for a reading of the log) or gap.
	State string `json:"state"`
	// Position is up to where everything has been acknowledged.
	Position string `json:"position"`
	// LagSeconds is the age of the oldest commit that it has not acknowledged, LagBytes
	// how much of the Log that is.
	LagSeconds float64 `json:"lag_seconds"`
	LagBytes   int64   `json:"lag_bytes"`
	InFlight   uint64  `json:"in_flight"`
	// Counts since the start.
	Deleted  uint64 `json:"deleted"`
	NotFound uint64 `json:"not_found"`
	Refusals uint64 `json:"refusals"`
	SetAside uint64 `json:"set_aside"`
	Batches  uint64 `json:"batches"`
	Lost     uint64 `json:"connections_lost"`
	// DeletesPerSecond is over the last ten seconds; filled in by the Server.
	DeletesPerSecond float64 `json:"deletes_per_second"`
	// Refused is how many keys wait to be tried again.
	Refused               int          `json:"refused"`
	VisibleToAcknowledged Delay        `json:"visible_to_acknowledged"`
	CommitToAcknowledged  Delay        `json:"commit_to_acknowledged"`
	Connections           []Connection `json:"connections"`
	RefusedKeys           []Trouble    `json:"refused_keys,omitempty"`
	SetAsideKeys          []Trouble    `json:"set_aside_keys,omitempty"`
	// Advice is what is not as it should be, and what to do.
	Advice []Advice `json:"advice,omitempty"`
}

// Connection is one way to a cluster's caches.
type Connection struct {
	Kind      string    `json:"kind"` // router or server
	Address   string    `json:"address"`
	Connected time.Time `json:"connected,omitzero"` // since when; left out: it is not
	Version   string    `json:"version,omitempty"`
	Protocol  string    `json:"protocol,omitempty"`
	Error     string    `json:"error,omitempty"` // the last one
	ErrorAt   time.Time `json:"error_at,omitzero"`
}

// Trouble is a key that a cache did not take.
type Trouble struct {
	Key    string    `json:"key"` // percent-encoded where it must be
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Advice is something wrong, or worth knowing.
type Advice struct {
	// Level is info, warning or error.
	Level string `json:"level"`
	What  string `json:"what"`
	Do    string `json:"do,omitempty"`
}

// Query asks for what is remembered.
type Query struct {
	// Key is the key as a tag would write it: percent-encoded where it must be.
	Key string
	// Part: keys that have it in them.
	Part bool
	Most int
}

// Memory is what is remembered of invalidations.
type Memory struct {
	// Found are those asked for, the newest first; More: there are older ones.
	Found []Invalidation `json:"found"`
	More  bool           `json:"more"`
	// Since, Log and Pos are how far back the memory reaches: the oldest transaction of
	// which all keys are remembered. Without them nothing is remembered yet.
	Since time.Time `json:"since,omitzero"`
	Log   string    `json:"log,omitempty"`
	Pos   uint64    `json:"pos,omitempty"`
	// Whole: nothing was forgotten since the reading began.
	Whole bool `json:"whole"`
	// Waiting is how many transactions were read that cannot be read on the source yet:
	// those were not looked at.
	Waiting uint64 `json:"waiting"`
}

// Invalidation is a key and the transaction that caused it, as --dry-run prints it, and
// what became of it.
type Invalidation struct {
	Key       string      `json:"key"` // percent-encoded where it must be
	Cause     string      `json:"cause,omitempty"`
	Schema    string      `json:"schema,omitempty"`
	Table     string      `json:"table,omitempty"`
	GTID      string      `json:"gtid,omitempty"`
	Log       string      `json:"log"`
	Pos       uint64      `json:"pos"`
	Time      time.Time   `json:"time,omitzero"`
	Read      time.Time   `json:"read,omitzero"`
	Delivered []Delivered `json:"delivered"`
}

// Delivered is what a cluster has done with an invalidation.
type Delivered struct {
	Cluster string `json:"cluster"`
	// State is acknowledged, waiting, refused (for now), set_aside (for good), no_match
	// (the cluster does not want the key) or unsure (acknowledged, or among the refused).
	State  string    `json:"state"`
	At     time.Time `json:"at,omitzero"` // when it was acknowledged; left out: not remembered
	Reason string    `json:"reason,omitempty"`
}

// History is the last minutes, a value for each second, the oldest first.
type History struct {
	// Until is the time of the last values.
	Until time.Time `json:"until"`
	// Seconds is what lies between two of them.
	Seconds       float64          `json:"seconds"`
	KeysPerSecond []float64        `json:"keys_per_second"`
	Clusters      []ClusterHistory `json:"clusters"`
}

// ClusterHistory is a cluster's. A value that is below zero is not known.
type ClusterHistory struct {
	Name             string    `json:"name"`
	LagSeconds       []float64 `json:"lag_seconds"`
	DeletesPerSecond []float64 `json:"deletes_per_second"`
}
