// Package config is what a mcsqueal is told to do: a YAML file, overridden by flags.
// What comes in is text; what goes out is a Config of typed values, checked as a
// whole, in which every value knows the line or the flag it came from. It keeps the
// sixth promise where configuration is concerned: nothing in a file is passed over.
// A field that is not known, a value that cannot be meant, two settings that
// contradict each other are each an error with its place and its mend, and all of
// them are told at once.
//
// The order of precedence is defaults, file, flags:
//
//	c, err := config.Load(path, getenv) // or config.Default() without a file
//	err = flags.Apply(c)
//	err = c.Validate()
//
// The package reads the files it is pointed at and nothing else: what the environment
// says it is told, and it chooses no working directory.
package config

import (
	"fmt"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Config is the whole configuration. Start from Default, Load or Parse: the zero
// Config is not valid. A Config is not changed once it has been validated, and may
// then be read by any goroutine.
type Config struct {
	// Source is the server whose log is read.
	Source Source `yaml:"source" reload:"restart"`
	// StateDir holds the checkpoint, its lock and what must survive a restart. Empty
	// means DefaultStateDir, which whoever knows the user and the environment fills in.
	StateDir string `yaml:"state_dir" env:"expanded" reload:"restart"`
	// Start is where a cluster begins that the checkpoint does not know. Default now.
	Start binlog.Point `yaml:"start"`
	// OnGap says what happens when the log no longer holds what a cluster needs.
	// Default stop.
	OnGap OnGap `yaml:"on_gap"`
	// Visibility says how it is known that a transaction can be read on the source,
	// and so that its keys may be deleted. Default auto.
	Visibility Visibility `yaml:"visibility"`
	// LogBytes bounds the Log, the keys held in memory. Default 64MiB.
	LogBytes Size `yaml:"log_bytes"`
	// CatchUp is how many clusters that have fallen behind may read the binlog for
	// themselves at once; each takes a dump connection. Default 2, at least 1.
	CatchUp int `yaml:"catch_up"`
	// Tags are the names under which comments list keys. Default "mc".
	Tags []string `yaml:"tags"`
	// Rules derive keys from changed rows. Default none.
	Rules []Rule `yaml:"rules"`
	// Clusters are the sets of caches to keep fresh. Default none.
	Clusters []Cluster `yaml:"clusters"`
	// Admin is the HTTP listener for metrics, health and the status page.
	Admin Admin `yaml:"admin" reload:"restart"`
	// Log is what is said on standard error.
	Log Log `yaml:"log"`

	// places is where the value at a path ("clusters[0].window") was given: a file
	// and line, or a flag. What has its default stands in here not at all.
	places map[string]string
}

// OnGap is what happens when the log no longer holds what a cluster needs.
type OnGap string

// What can happen at a gap.
const (
	OnGapStop  OnGap = "stop"  // that cluster waits for somebody to decide
	OnGapFlush OnGap = "flush" // its caches are flushed, and it goes on from there
)

// Rule derives keys from the rows of tables.
type Rule struct {
	// Table is schema.table, either part with shell wildcards: shop_*.users.
	Table string `yaml:"table"`
	// Keys are templates: {column} stands for that column's value, {schema} and
	// {table} for the table's place. At least one.
	Keys []string `yaml:"keys"`
}

// Log is what is said on standard error.
type Log struct {
	Level  LogLevel  `yaml:"level"`                   // default info
	Format LogFormat `yaml:"format" reload:"restart"` // default text
}

// LogLevel is the least serious level that is logged.
type LogLevel string

// The log levels, those of log/slog.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// LogFormat is the form of a log line.
type LogFormat string

// The log formats, those of log/slog's handlers.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Default is the configuration of an empty file: everything but a source and
// clusters, which nobody can guess.
func Default() *Config {
	return &Config{
		Source: Source{
			TLS:          TLS{Mode: TLSAuto},
			FailoverWait: 30 * time.Second,
		},
		Start:      binlog.Point{Kind: binlog.PointNow},
		OnGap:      OnGapStop,
		Visibility: Visibility{Mode: VisibilityAuto},
		LogBytes:   64 * MiB,
		CatchUp:    2,
		Tags:       []string{"mc"},
		Admin:      Admin{Listen: "127.0.0.1:9470"},
		Log:        Log{Level: LogInfo, Format: LogText},
	}
}

// YAML is the effective configuration as a file that Parse reads back to the same
// Config. There are no secrets in it: a Config never holds any.
func (c *Config) YAML() ([]byte, error) {
	text, err := yaml.MarshalWithOptions(c, yaml.Indent(2), yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("write configuration as YAML: %w", err)
	}
	return text, nil
}
