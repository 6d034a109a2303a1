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
	timeout --foreground 300 mcsqueal run --config /etc/mcsqueal/mcsqueal.yaml </dev/null >>"$log" 2>&1 3>&- &
	echo $! >"$dir/pid"
	until tail -n +$((before + 1)) "$log" | grep -q 'msg=tailing'; do running || return 1; sleep 0.05; done
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

// What the manual says is done as it says, from the first day to a cluster's last.
func TestTheManualIsTrue(t *testing.T) {
	t.Parallel()
	for kind, source := range map[servers.Kind]string{
		servers.KindMySQL: "The source: MySQL", servers.KindMariaDB: "The source: MariaDB",
	} {
		t.Run(nameOf(kind), func(t *testing.T) {
			t.Parallel()
			start, client := servers.MySQL, "mysql"
			if kind == servers.KindMariaDB {
				start, client = servers.MariaDB, "mariadb"
			}
			db, east, west := start(t, servers.Config{}), newCache(t), newCache(t)
			dir := t.TempDir()
			for _, folder := range []string{"bin", "etc"} {
				if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			here := strings.NewReplacer(
				"/etc/mcsqueal", filepath.Join(dir, "etc"), "/var/lib/mcsqueal", filepath.Join(dir, "state"),
				"mysql://mcsqueal@127.0.0.1:3306", nameOf(kind)+"://mcsqueal@"+db.Addr(),
				"127.0.0.1:11211", east.Addr(), "127.0.0.1:11212", west.Addr(),
				"--owner=root --group=mcsqueal", "", "2026-01-02T15:00:00Z", time.Now().UTC().Add(-time.Hour).Format(time.RFC3339),
				// The key goes at once, unless the machine has other things to do.
				"sleep 1\n", "until [[ $(printf 'get user:1\\r\\nquit\\r\\n' | cache "+east.Addr()+") == END* ]]; do sleep 0.05; done\n",
			)
			tool := func(name, text string) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte(here.Replace(text)), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			host, port, _ := strings.Cut(db.Addr(), ":")
			cmd, err := servers.Command(t.Context(), kind, client, "--no-defaults", "--protocol=tcp", "--host="+host, "--port="+port, "--user=root")
			if err != nil {
				t.Fatal(err)
			}
			tool("mysql", "#!/bin/sh\nexec '"+strings.Join(cmd.Args, "' '")+"' \"$@\"\n")
			tool("mcsqueal", "#!/bin/sh\nexec '"+binary.path(t)+"' \"$@\"\n")
			tool("systemctl", systemctl)
			tool("journalctl", "#!/bin/sh\nexec cat '"+filepath.Join(dir, "log")+"'\n")

			says := manual(t)
			var script strings.Builder
			script.WriteString("set -euo pipefail\ntrap 'systemctl stop' EXIT\n" +
				"cache() { exec 3<>\"/dev/tcp/${1%:*}/${1##*:}\"; cat >&3; tr -d '\\r' <&3; exec 3>&-; }\n")
			for _, heading := range []string{source, "Install, configure, start", "Replay after a misrouting", "After a gap", "Retire a cluster"} {
				fmt.Fprintf(&script, "echo '== %s'\n", heading)
				if heading == "After a gap" {
					// Both were away while the source purged its log.
					script.WriteString(`systemctl stop
mysql -e 'UPDATE shop.users SET name = 3; FLUSH BINARY LOGS'
logs() { mysql --skip-column-names --execute 'SHOW BINARY LOGS'; }
# MariaDB keeps a file as long as it has not noticed that nobody reads it.
until (($(logs | wc -l) == 1)); do mysql -e "PURGE BINARY LOGS TO '$(logs | tail -n 1 | cut -f 1)'"; done
systemctl start && sleep 0.1
while systemctl is-active >/dev/null; do sleep 0.05; done
printf 'set old 0 0 1\r\n1\r\nquit\r\n' | cache ` + west.Addr() + "\n")
				}
				script.WriteString(here.Replace(asShell(t, says[heading])))
			}
			fmt.Fprintf(&script, "printf 'get old\\r\\nquit\\r\\n' | cache %s\nsystemctl is-active\n", west.Addr())
			bash := exec.Command("timeout", "120", "bash", "-c", script.String())
			bash.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
			out, err := bash.CombinedOutput()
			said := string(out)
			if err != nil {
				log, _ := os.ReadFile(filepath.Join(dir, "log"))
				t.Fatalf("%v:\n%s\nthe daemon said:\n%s", err, said, log)
			}
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
				"after a gap": {mended, []string{"STORED\n", "failed\n", "\nactive\n"}},
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
}
