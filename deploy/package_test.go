package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

const released = "v1.2.3-rc1"

// release builds what is released, for this architecture.
func release(t *testing.T, dir string) {
	t.Helper()
	on(t, "dpkg-deb")
	cmd := exec.Command("./release", released, dir)
	cmd.Env = append(os.Environ(), "ARCHES="+runtime.GOARCH, "LEVEL=1")
	said(t, cmd, nil)
}

// theRelease is one for all tests that only look at it.
func theRelease(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(built.path(t, ""), "release")
	if _, err := os.Stat(filepath.Join(dir, "SHA256SUMS")); err != nil {
		release(t, dir)
	}
	return dir
}

// deb is the Debian package of a program.
func deb(t *testing.T, program string) string {
	t.Helper()
	return filepath.Join(theRelease(t), program+"_1.2.3~rc1_"+runtime.GOARCH+".deb")
}

func TestAReleaseIsTheSameEveryTime(t *testing.T) {
	one, two := theRelease(t), t.TempDir()
	release(t, two)
	sums := read(t, filepath.Join(one, "SHA256SUMS"))
	if other := read(t, filepath.Join(two, "SHA256SUMS")); other != sums {
		t.Errorf("first\n%sthen\n%s", sums, other)
	}
	check := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = one
	said(t, check, nil)
	for _, want := range []string{
		"mcsqueal-" + released + "-linux-" + runtime.GOARCH + ".tar.gz",
		"mcsqueal_1.2.3~rc1_" + runtime.GOARCH + ".deb",
	} {
		if !strings.Contains(sums, "  "+want+"\n") {
			t.Errorf("there is no %s in\n%s", want, sums)
		}
	}
}

func TestThePackageHasWhatAUserLooksFor(t *testing.T) {
	deb := deb(t, "mcsqueal")
	list := said(t, exec.Command("dpkg-deb", "--contents", deb), nil)
	for _, want := range []string{
		"-rwxr-xr-x root/root ./usr/bin/mcsqueal",
		"-rw-r--r-- root/root ./usr/lib/systemd/system/mcsqueal.service",
		"-rw-r--r-- root/root ./usr/share/man/man1/mcsqueal.1.gz",
		"-rw-r--r-- root/root ./usr/share/man/man1/mcsqueal-run.1.gz",
		"-rw-r--r-- root/root ./usr/share/bash-completion/completions/mcsqueal",
		"-rw-r--r-- root/root ./usr/share/zsh/vendor-completions/_mcsqueal",
		"-rw-r--r-- root/root ./usr/share/fish/vendor_completions.d/mcsqueal.fish",
		"-rw-r--r-- root/root ./usr/share/doc/mcsqueal/examples/mcsqueal.yaml",
		"-rw-r--r-- root/root ./usr/share/doc/mcsqueal/operations.md",
		"-rw-r--r-- root/root ./usr/share/doc/mcsqueal/status.md",
		"-rw-r--r-- root/root ./usr/share/doc/mcsqueal/logs.md",
		"-rw-r--r-- root/root ./usr/share/doc/mcsqueal/copyright",
	} {
		mode, path, _ := strings.Cut(want, " ./")
		if !regexp.MustCompile(`(?m)^` + mode + ` .* \./` + regexp.QuoteMeta(path) + `$`).MatchString(list) {
			t.Errorf("there is no %q in\n%s", want, list)
		}
	}
	tree := t.TempDir()
	said(t, exec.Command("dpkg-deb", "--extract", deb, tree), nil)
	// dpkg --verify goes by the sums; what the owner may change has none.
	for _, program := range []string{"mcsqueal", "mccache"} {
		control := t.TempDir()
		said(t, exec.Command("dpkg-deb", "--control", strings.Replace(deb, "mcsqueal_", program+"_", 1), control), nil)
		if sums := read(t, filepath.Join(control, "md5sums")); !strings.Contains(sums, "  usr/bin/"+program+"\n") || strings.Contains(sums, "  etc/") {
			t.Errorf("%s: the sums are of\n%s", program, sums)
		}
	}
	program := filepath.Join(tree, "usr/bin/mcsqueal")
	if version := said(t, exec.Command(program, "version"), nil); !strings.HasPrefix(version, "mcsqueal "+released+" ") {
		t.Errorf("it says it is %q", version)
	}
	// Nothing has to be installed beside it.
	if out, _ := outcome(t, exec.Command("ldd", program), nil); !strings.Contains(out, "not a dynamic executable") {
		t.Errorf("it needs libraries:\n%s", out)
	}
	// As small as it gets, which Debian's policy asks of documents (12.3): the ninth byte
	// says how hard gzip has tried, 2 for hardest (RFC 1952, 2.3.1).
	if packed := read(t, filepath.Join(tree, "usr/share/man/man1/mcsqueal.1.gz")); packed[8] != 2 {
		t.Errorf("the manual page is compressed at %d", packed[8])
	}
	page := said(t, exec.Command("gzip", "--decompress", "--stdout", filepath.Join(tree, "usr/share/man/man1/mcsqueal.1.gz")), nil)
	for _, section := range []string{"EXIT STATUS", "SIGNALS", "ENVIRONMENT", "FILES", "SEE ALSO"} {
		if !strings.Contains(page, "\n.SH "+section+"\n") {
			t.Errorf("the manual page has no %s", section)
		}
	}
	for _, what := range []string{"MCSQUEAL_PASSWORD", "MCSQUEAL_ADMIN_TOKEN", "NO_COLOR", "/etc/mcsqueal/mcsqueal.yaml", "/etc/default/mcsqueal", "/var/lib/mcsqueal"} {
		if !strings.Contains(page, "\n.B "+what+"\n") {
			t.Errorf("the manual page says nothing of %s", what)
		}
	}
	// The shell that most have is asked for what it would complete.
	completed := said(t, exec.Command("bash", "--norc", "-c",
		`. "$1" && "$2" __complete re`, "bash", filepath.Join(tree, "usr/share/bash-completion/completions/mcsqueal"), program), nil)
	if !strings.Contains(completed, "replay\t") {
		t.Errorf("re is completed to %q", completed)
	}
}

// machine runs a script on a machine of its own: testdata/package/machine.
func machine(t *testing.T, folder, script string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("installing a package on a machine of its own needs root")
	}
	for _, program := range []string{"/lib/systemd/systemd", "unshare", "dpkg", "findmnt"} {
		on(t, program)
	}
	_, err := exec.Command("unshare", "--mount", "--pid", "--fork", "--cgroup", "true").Output()
	need(t, "a machine of its own", err)
	out, status := outcome(t, exec.Command("testdata/package/machine", folder, script), nil)
	if status != 0 {
		t.Fatalf("%s: exit status %d:\n%s", script, status, out)
	}
	return out
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(to, []byte(read(t, from)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, mode); err != nil {
		t.Fatal(err)
	}
}

// The package is installed as by a user, under systemd itself: the hardened unit lets the
// daemon do all it must, a reload is one, a daemon that hangs is started anew, an upgrade
// goes on, and nothing stays behind.
func TestThePackageIsInstalledAndRunsUnderSystemd(t *testing.T) {
	db := servers.MySQL(t, servers.Config{})
	m := servers.Memcache(t, servers.MemcachedConfig{})
	account(t, db)
	host := t.TempDir()
	copyFile(t, deb(t, "mcsqueal"), filepath.Join(host, "mcsqueal.deb"), 0o644)
	copyFile(t, "testdata/package/install", filepath.Join(host, "install"), 0o755)
	write(t, filepath.Join(host, "password"), password+"\n")
	write(t, filepath.Join(host, "mcsqueal.yaml"), fmt.Sprintf(`
source: {url: "mysql://mcsqueal@%s", password_file: /etc/mcsqueal/password}
clusters: [{name: east, servers: [%q]}]
admin: {listen: %q}
`, db.Addr(), m.Addr(), free(t)))
	out := machine(t, host, "install")
	for _, want := range []string{
		"does nothing yet", "\ndisabled\n", // until it is configured
		"drwxr-x--- 2 root mcsqueal",
		"ActiveState=active", "Type=notify", "User=mcsqueal",
		"StatusText=tailing " + db.Addr() + "; every cluster is in step",
		"CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
		"checkpoint.json",
		"== systemctl reload mcsqueal\n== systemctl is-active mcsqueal\nactive\n",
		"== systemctl reload mcsqueal\nJob for mcsqueal.service failed", "status 1\n== systemctl is-active mcsqueal\nactive\n",
		"Watchdog timeout", "SIGABRT: abort", // and where its goroutines stood
		"  ok    logged in as mcsqueal@", "the daemon that works in it is process", " to look at, 0 to mend\n",
		"cluster east goes on from", "== systemctl start mcsqueal\n== systemctl is-active mcsqueal\nactive\n",
		"Result=success", "ExecMainStatus=0",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in", want)
		}
	}
	// After the upgrade it runs, and after the purge nothing is left.
	_, upgraded, _ := strings.Cut(out, "Watchdog timeout")
	if !strings.Contains(upgraded, "== systemctl is-active mcsqueal\nactive\n") {
		t.Error("the upgrade has not left it running, in")
	}
	for _, dir := range []string{"/var/lib/mcsqueal", "/etc/mcsqueal"} {
		if !slices.Contains(strings.Split(out, "\n"), "ls: cannot access '"+dir+"': No such file or directory") {
			t.Errorf("%s is still there, in", dir)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// mccache's flags may be a copy of Debian's memcached.conf; what it holds outlives a
// restart if it is told so; systemd may listen for it.
func TestTheCachesPackageIsInstalledAndRunsUnderSystemd(t *testing.T) {
	host := t.TempDir()
	copyFile(t, deb(t, "mccache"), filepath.Join(host, "mccache.deb"), 0o644)
	copyFile(t, "testdata/package/install-mccache", filepath.Join(host, "install-mccache"), 0o755)
	_, port, _ := strings.Cut(free(t), ":")
	_, other, _ := strings.Cut(free(t), ":")
	write(t, filepath.Join(host, "port"), port)
	write(t, filepath.Join(host, "other"), other)
	write(t, filepath.Join(host, "memcached.conf"), `# memcached default config file
-d
logfile /var/log/memcached.log
-m 64
-p `+port+`
-u memcache
-l 127.0.0.1 # only here
-P /var/run/memcached/memcached.pid
-e /run/mccache/memory
`)
	out := machine(t, host, "install-mccache")
	for _, want := range []string{
		"does nothing yet", "\ndisabled\n",
		"STORED\nVALUE greeting 0 5\nhello\nEND\n",
		"Type=notify\nUser=mccache\n", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
		"== what it kept\nVALUE greeting 0 5\nhello\nEND\n",
		"Result=success\nExecMainStatus=0\n",
		"== systemctl is-active mccache\ninactive\n",
		"\nVERSION ",
		"== systemctl is-active mccache\nactive\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}
