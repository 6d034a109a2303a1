package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// manual is docs/operations.md, by the headings of its sections.
func manual(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	heading := ""
	for line := range strings.Lines(string(text)) {
		if m := regexp.MustCompile(`^##+ (.+)\n$`).FindStringSubmatch(line); m != nil {
			heading = m[1]
			continue
		}
		sections[heading] += line
	}
	return sections
}

// asShell turns a section's boxes into shell: sh as it is, sql for the client, yaml as the
// configuration's file. Other boxes are for reading.
func asShell(t *testing.T, section string) string {
	t.Helper()
	var script strings.Builder
	boxes := regexp.MustCompile("(?ms)^```(sh|sql|yaml)\n(.*?)^```$").FindAllStringSubmatch(section, -1)
	if len(boxes) == 0 {
		t.Fatalf("nothing to run in %q", section)
	}
	for _, box := range boxes {
		switch box[1] {
		case "sh":
			script.WriteString(box[2])
		case "sql":
			fmt.Fprintf(&script, "mysql <<'END'\n%sEND\n", box[2])
		case "yaml":
			fmt.Fprintf(&script, "cat >/etc/mcsqueal/mcsqueal.yaml <<'END'\n%sEND\n", box[2])
		}
	}
	return script.String()
}

// systemctl stands for systemd's, in as much as the manual asks of it; that the unit does
// the same under the real one is deploy's to test.
const systemctl = `#!/bin/bash
dir=$(dirname "$0")/..
log=$dir/log
# Numbers of processes come again: it must be ours.
running() { [[ -s $dir/pid ]] && grep --quiet --no-messages --text /etc/mcsqueal/ "/proc/$(cat "$dir/pid")/cmdline"; }
start() {
	before=$(wc -l <"$log")
	timeout --foreground 800 mcsqueal run --config /etc/mcsqueal/mcsqueal.yaml </dev/null >>"$log" 2>&1 3>&- &
	echo $! >"$dir/pid"
	# Not running: at first it is not yet what it will be.
	until tail -n +$((before + 1)) "$log" | grep -q 'msg=tailing'; do kill -0 $! 2>/dev/null || return 1; sleep 0.05; done
}
stop() {
	running || return 0
	kill -TERM "$(cat "$dir/pid")"
	while running; do sleep 0.05; done
}
touch "$log"
case $1 in
enable | start) running || start ;;
restart) stop; start ;;
stop) stop ;;
reload)
	before=$(grep -c 'msg="the new configuration is' "$log")
	kill -HUP "$(cat "$dir/pid")"
	until (($(grep -c 'msg="the new configuration is' "$log") > before)); do sleep 0.05; done
	! grep 'msg="the new configuration is' "$log" | tail -n 1 | grep refused
	;;
is-active) if running; then echo active; else echo failed; exit 3; fi ;;
esac
`

// operator is somebody who does what the manual says, on a machine where the paths and
// addresses in it are others.
type operator struct {
	dir  string
	here *strings.Replacer
	says map[string]string // the manual
}

// newOperator has a source, a client for it, caches, and other names of other servers.
func newOperator(t *testing.T, db *servers.Database, east, west *harness.Cache, more ...string) *operator {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{"bin", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	o := &operator{dir: dir, says: manual(t)}
	o.here = strings.NewReplacer(append(more,
		"/etc/mcsqueal", filepath.Join(dir, "etc"), "/var/lib/mcsqueal", filepath.Join(dir, "state"),
		"mysql://mcsqueal@127.0.0.1:3306", db.Kind().Name()+"://mcsqueal@"+db.Addr(),
		"127.0.0.1:11211", east.Addr(), "127.0.0.1:11212", west.Addr(),
		"--owner=root --group=mcsqueal", "", "2026-01-02T15:00:00Z", time.Now().UTC().Add(-time.Hour).Format(time.RFC3339),
		// The key goes at once, unless the machine has other things to do.
		"sleep 1\n", "until [[ $(printf 'get user:1\\r\\nquit\\r\\n' | cache "+east.Addr()+") == END* ]]; do sleep 0.05; done\n",
	)...)
	o.client(t, db)
	o.tool(t, "mcsqueal", "#!/bin/sh\nexec '"+harness.Binary(t)+"' \"$@\"\n")
	o.tool(t, "systemctl", systemctl)
	o.tool(t, "journalctl", "#!/bin/sh\nexec cat '"+filepath.Join(dir, "log")+"'\n")
	t.Cleanup(func() { o.run(t, "systemctl stop\n") })
	return o
}

func (o *operator) tool(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, "bin", name), []byte(o.here.Replace(text)), 0o700); err != nil {
		t.Fatal(err)
	}
}

// client makes mysql the client of a server.
func (o *operator) client(t *testing.T, db *servers.Database) {
	t.Helper()
	name := "mysql"
	if db.Kind() == servers.KindMariaDB {
		name = "mariadb"
	}
	host, port, _ := strings.Cut(db.Addr(), ":")
	cmd, err := servers.Command(t.Context(), db.Kind(), name, "--no-defaults", "--protocol=tcp", "--host="+host, "--port="+port, "--user=root")
	if err != nil {
		t.Fatal(err)
	}
	o.tool(t, "mysql", "#!/bin/sh\nexec '"+strings.Join(cmd.Args, "' '")+"' \"$@\"\n")
}

// section is what the manual has under a heading, to be run here.
func (o *operator) section(t *testing.T, heading string) string {
	t.Helper()
	return "echo '== " + heading + "'\n" + o.here.Replace(asShell(t, o.says[heading]))
}

// run runs a script, and gives what is said.
func (o *operator) run(t *testing.T, script string) string {
	t.Helper()
	bash := exec.Command("timeout", "400", "bash", "-c", "set -euo pipefail\n"+
		"cache() { exec 3<>\"/dev/tcp/${1%:*}/${1##*:}\"; cat >&3; tr -d '\\r' <&3; exec 3>&-; }\n"+script)
	bash.Env = append(os.Environ(), "PATH="+filepath.Join(o.dir, "bin")+":"+os.Getenv("PATH"))
	out, err := bash.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(o.dir, "log"))
		t.Fatalf("%v:\n%s\nthe daemon said:\n%s", err, out, log)
	}
	return string(out)
}

// onBoth runs a test of the manual on each kind of server, with how it is started and
// what the manual calls it.
func onBoth(t *testing.T, test func(t *testing.T, start func(testing.TB, servers.Config) *servers.Database, heading string)) {
	t.Helper()
	t.Run("mysql", func(t *testing.T) { t.Parallel(); test(t, servers.MySQL, "The source: MySQL") })
	t.Run("mariadb", func(t *testing.T) { t.Parallel(); test(t, servers.MariaDB, "The source: MariaDB") })
}

// What the manual says is done as it says, from the first day to a cluster's last.
func TestTheManualIsTrue(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, start func(testing.TB, servers.Config) *servers.Database, heading string) {
		db, east, west := start(t, servers.Config{}), harness.NewCache(t), harness.NewCache(t)
		o := newOperator(t, db, east, west)
		said := o.run(t, o.section(t, heading)+o.section(t, "Install, configure, start")+o.section(t, "Replay after a misrouting")+
			// Both clusters are away while the source purges its log.
			`systemctl stop
mysql -e 'UPDATE shop.users SET name = 3; FLUSH BINARY LOGS'
logs() { mysql --skip-column-names --execute 'SHOW BINARY LOGS'; }
# MariaDB keeps a file as long as it has not noticed that nobody reads it.
until (($(logs | wc -l) == 1)); do mysql -e "PURGE BINARY LOGS TO '$(logs | tail -n 1 | cut -f 1)'"; done
systemctl start && sleep 0.1
while systemctl is-active >/dev/null; do sleep 0.05; done
printf 'set old 0 0 1\r\n1\r\nquit\r\n' | cache `+west.Addr()+"\n"+
			o.section(t, "After a gap")+o.section(t, "Retire a cluster")+
			"printf 'get old\\r\\nquit\\r\\n' | cache "+west.Addr()+"\nsystemctl is-active\n")
		_, said, _ = strings.Cut(said, "== Install, configure, start\n")
		started, said, _ := strings.Cut(said, "== Replay after a misrouting\n")
		replayed, said, _ := strings.Cut(said, "== After a gap\n")
		mended, retired, _ := strings.Cut(said, "== Retire a cluster\n")
		for part, all := range map[string]struct {
			said string
			want []string
		}{
			"first day":   {started, []string{"  ok ", "\nactive\n", "\nEND\n", "\neast ", "\nwest "}},
			"replay":      {replayed, []string{`"key":"user:1"`, `"clusters":["east"]`}},
			"after a gap": {mended, []string{"\nfailed\n", "\nactive\n"}},
			"retire":      {retired, []string{"cluster west is forgotten\n", "\neast ", "\nEND\n", "\nactive\n"}},
		} {
			for _, want := range all.want {
				if !strings.Contains("\n"+all.said, want) {
					t.Errorf("%s: %q is not in\n%s", part, want, all.said)
				}
			}
		}
		if strings.Contains(started, "  fail ") || strings.Contains(retired, "\nwest ") {
			t.Errorf("check fails, or west is still known:\n%s%s", started, retired)
		}
	})
}

// A server of the manual's list is lost, and the next one is gone on with.
func TestTheManualsFailoverIsTrue(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, start func(testing.TB, servers.Config) *servers.Database, heading string) {
		first, second := start(t, servers.Config{}), start(t, servers.Config{})
		east, west := harness.NewCache(t), harness.NewCache(t)
		if err := second.ReplicateFrom(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		url := first.Kind().Name() + "://mcsqueal@"
		o := newOperator(t, first, east, west, "mysql://mcsqueal@db1:3306", url+first.Addr(), "mysql://mcsqueal@db2:3306", url+second.Addr())
		o.run(t, o.section(t, heading)+o.section(t, "Install, configure, start"))
		if err := second.CatchUp(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if out := o.run(t, o.section(t, "Failover")); strings.Contains(out, "  fail ") {
			t.Errorf("check fails:\n%s", out)
		}
		if err := first.Kill(); err != nil {
			t.Fatal(err)
		}
		o.client(t, second)
		promote := "STOP REPLICA; SET GLOBAL read_only = OFF"
		o.run(t, "mysql -e '"+promote+"'\nprintf 'set user:1 0 0 1\\r\\n1\\r\\nquit\\r\\n' | cache "+east.Addr()+
			"\nmysql --comments -e \"UPDATE /* mc: user:1 */ shop.users SET name = 'Edsger' WHERE id = 1\"\n"+o.here.Replace("sleep 1\n")+"systemctl is-active\n")
	})
}
