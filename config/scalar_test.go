package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestASizeIsWrittenInTheLargestUnitThatNeedsNoFraction(t *testing.T) {
	for text, want := range map[string]struct {
		size    Size
		written string
	}{
		"0":           {0, "0"},
		"1":           {1, "1"},
		"999B":        {999, "999"},
		"1000":        {1000, "1kB"},
		"1024":        {KiB, "1KiB"},
		"64MiB":       {64 * MiB, "64MiB"},
		"64 mib":      {64 * MiB, "64MiB"},
		"1GB":         {1_000_000_000, "1GB"},
		"2048MiB":     {2 * GiB, "2GiB"},
		"8388607TiB":  {8388607 * TiB, "8388607TiB"},
		"1500000000":  {1_500_000_000, "1500MB"},
		"00000000010": {10, "10"},
	} {
		if got, err := ParseSize(text); err != nil || got != want.size || got.String() != want.written {
			t.Errorf("%q is %d, written %q, %v; want %d, written %q", text, got, got, err, want.size, want.written)
		}
	}
}

func TestWhatIsNoSizeIsRefused(t *testing.T) {
	for _, text := range []string{"", "-1", "+1", "1.5GiB", "64M", "MiB", "1  GB", "1 GB ", "１GB", "0x10", "8388608TiB", "9223372036854775808"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
}

func TestSizesVisibilitiesAndActionsAreReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := Size(rapid.Int64Min(0).Draw(t, "size"))
		if got, err := ParseSize(size.String()); err != nil || got != size {
			t.Fatalf("%d is written %s and read %d, %v", int64(size), size, int64(got), err)
		}
		visibility := Visibility{Mode: VisibilityDelay, Delay: time.Duration(rapid.Int64Min(1).Draw(t, "delay"))}
		if got, err := ParseVisibility(visibility.String()); err != nil || got != visibility {
			t.Fatalf("%v is read as %v, %v", visibility, got, err)
		}
		action := Action{
			Kind: rapid.SampledFrom([]ActionKind{ActionStale, ActionHoldoff}).Draw(t, "kind"),
			For:  time.Duration(rapid.Int64Range(1, int64(MaxActionTime/time.Second)).Draw(t, "seconds")) * time.Second,
		}
		if got, err := ParseAction(action.String()); err != nil || got != action {
			t.Fatalf("%v is read as %v, %v", action, got, err)
		}
	})
}

func TestARoutingPrefixDoesNotCountAgainstTheKey(t *testing.T) {
	for prefix, want := range map[string]int{
		"":                250,
		"/east/*/":        250,
		"/region/all/":    250,
		"shop:":           245,
		"/":               249,
		"/east/":          244,
		"/east//":         243,
		"/east/all/shop:": 235,
		"x/east/all/":     239,
	} {
		if got := (Cluster{Prefix: prefix}).KeyLimit(); got != want {
			t.Errorf("%q leaves %d bytes, want %d", prefix, got, want)
		}
	}
}

func TestPlainServersAreWhatIsFlushed(t *testing.T) {
	for name, test := range map[string]struct {
		cluster Cluster
		want    string
	}{
		"routers only":      {Cluster{Routers: []string{"r:1"}}, ""},
		"routers and flush": {Cluster{Routers: []string{"r:1"}, Flush: []string{"f:1"}}, "f:1"},
		"servers":           {Cluster{Servers: []string{"s:1"}}, "s:1"},
		"servers and flush": {Cluster{Servers: []string{"s:1"}, Flush: []string{"f:1"}}, "f:1"},
	} {
		got := ""
		if servers := test.cluster.FlushServers(); len(servers) > 0 {
			got = servers[0]
		}
		if got != test.want {
			t.Errorf("%s: %q is flushed, want %q", name, got, test.want)
		}
	}
}

func TestStateLivesWhereTheUserMayWrite(t *testing.T) {
	for name, test := range map[string]struct {
		uid  int
		env  map[string]string
		want string
	}{
		"root":              {0, map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/root"}, "/var/lib/mcsqueal"},
		"a user":            {1000, map[string]string{"HOME": "/home/u"}, "/home/u/.local/state/mcsqueal"},
		"a state home":      {1000, map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/home/u"}, "/x/mcsqueal"},
		"one that is not":   {1000, map[string]string{"XDG_STATE_HOME": "x", "HOME": "/home/u"}, "/home/u/.local/state/mcsqueal"},
		"nothing to go by":  {1000, nil, ""},
		"a relative home":   {1000, map[string]string{"HOME": "."}, ""},
		"a slash too many":  {1000, map[string]string{"XDG_STATE_HOME": "/x//"}, "/x/mcsqueal"},
		"a system's nobody": {65534, map[string]string{"HOME": "/nonexistent"}, "/nonexistent/.local/state/mcsqueal"},
	} {
		got, err := DefaultStateDir(test.uid, func(name string) string { return test.env[name] })
		if got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, test.want)
		}
	}
}
