package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/config"
)

// What is printed is the configuration that a command would work by, and can be given
// to one; the password is nowhere in it.
func TestTheEffectiveConfigurationIsPrintedWithoutSecrets(t *testing.T) {
	dir := t.TempDir()
	file, secret := filepath.Join(dir, "mcsqueal.yaml"), filepath.Join(dir, "password")
	const password = "correct horse"
	for path, text := range map[string]string{
		file: "source: {url: \"mysql://u@${DB}\", password_file: " + secret + "}\n" +
			"catch_up: 3\nclusters: [{name: east, routers: [a:1]}, {name: west, servers: [b:1]}]\n",
		secret: password,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environ := map[string]string{"DB": "db1", "XDG_STATE_HOME": "/state", config.PasswordVariable: password}
	printed := func(args ...string) string {
		var stdout, stderr bytes.Buffer
		status := run(t.Context(), append([]string{"config"}, args...), environment{
			stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr,
			getenv: func(name string) string { return environ[name] }, uid: 1000,
		})
		if status != exitDone || stderr.Len() > 0 {
			t.Fatalf("exit status %d: %s", status, stderr.String())
		}
		return stdout.String()
	}
	text := printed("--config", file, "--on-gap", "flush", "--cluster", "east=c:1,d:1", "--cluster", "west=e:1", "--on-gap", "stop")
	for _, part := range []string{"url: mysql://u@db1:3306", "catch_up: 3", "state_dir: /state/mcsqueal", "window: 4",
		"# The source's password: in MCSQUEAL_PASSWORD, which goes before password_file."} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
	if strings.Contains(text, password) {
		t.Errorf("the password is in\n%s", text)
	}
	again := filepath.Join(dir, "again.yaml")
	if err := os.WriteFile(again, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(text, "\n")
	if _, got, _ := strings.Cut(printed("--config", again), "\n"); got != want {
		t.Errorf("read back, it is\n%s\nwant\n%s", got, want)
	}
}
