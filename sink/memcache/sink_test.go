package memcache

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What is refused for now, however much there is, keeps no key from being named that is
// lost for good; nor does one reason another.
func TestEveryReasonAKeyIsSetAsideForIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		s := New(Config{Cluster: "east", Targets: []string{"a:1"}, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		for i := range 1000 {
			s.logRefused(fmt.Appendf(nil, "delete busy%d\r\n", i), "out of memory")
		}
		for i := range 1000 {
			s.setKeyAside(fmt.Appendf(nil, "long%d", i), "too long")
			s.setKeyAside(fmt.Appendf(nil, "odd%d", i), "bad format")
		}
		time.Sleep(time.Second)
		s.setKeyAside([]byte("last"), "too long")
		s.logRest()
		for _, line := range []string{
			`level=WARN msg="key refused for now.* key=busy0 reason="out of memory" more=0`,
			`level=ERROR msg="key set aside.* cluster=east key=long0 reason="too long" more=0`,
			`level=ERROR msg="key set aside.* key=odd0 reason="bad format" more=0`,
			`level=ERROR msg="key set aside.* key=last reason="too long" more=999`,
			`level=ERROR msg="more keys set aside.* keys=999 reason="bad format"`,
			`level=WARN msg="more keys were refused.* keys=999 reason="out of memory"`,
		} {
			if n := len(regexp.MustCompile(line).FindAllString(said.String(), -1)); n != 1 {
				t.Errorf("%d lines match %s, want 1", n, line)
			}
		}
		if n := strings.Count(said.String(), "\n"); n != 6 {
			t.Errorf("%d lines in all, want 6:\n%s", n, said.String())
		}
		if n := s.SetAside(); n != 2001 {
			t.Errorf("%d keys set aside, want 2001", n)
		}
	})
}
