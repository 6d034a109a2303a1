package integration

import (
	"encoding/json"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// line is what a dry run prints of one invalidation. The order of its fields is that
// of the text.
type line struct {
	Key      string     `json:"key"`
	Action   string     `json:"action"`
	Cause    string     `json:"cause"`
	Schema   string     `json:"schema,omitempty"`
	Table    string     `json:"table,omitempty"`
	GTID     string     `json:"gtid,omitempty"`
	Log      string     `json:"log,omitempty"`
	Pos      uint64     `json:"pos,omitempty"`
	Time     *time.Time `json:"time,omitempty"`
	Clusters []string   `json:"clusters,omitempty"`
}

// lines reads what a dry run has printed so far; each line must be one object with
// known fields in their order, and nothing empty.
func lines(t *testing.T, p *harness.Process) []line {
	t.Helper()
	var all []line
	for _, text := range p.Stdout.Lines() {
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		var l line
		if err := d.Decode(&l); err != nil || d.More() {
			t.Fatalf("the line %s: %v", text, err)
		}
		if got, want := fieldsOf(text), fieldsIn(l); !reflect.DeepEqual(got, want) {
			t.Errorf("the line %s has the fields %v, want %v", text, got, want)
		}
		all = append(all, l)
	}
	return all
}

var field = regexp.MustCompile(`[{,]"([a-z]+)":`)

// fieldsOf are the names in a line's text.
func fieldsOf(text string) (names []string) {
	for _, m := range field.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// fieldsIn are the names of what a line has.
func fieldsIn(l line) (names []string) {
	v := reflect.ValueOf(l)
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// keysOf are the keys of lines, decoded.
func keysOf(t *testing.T, all []line) (keys []string) {
	t.Helper()
	for _, l := range all {
		key, err := url.PathUnescape(l.Key)
		if err != nil {
			t.Errorf("the key %q: %v", l.Key, err)
		}
		keys = append(keys, key)
	}
	return keys
}
