package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"

func TestCheckpointIsSetForWhoIsKnownToWhatMeansSomething(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	file := filepath.Join(dir, "m.yaml")
	text := "state_dir: " + state + "\nclusters:\n  - {name: east, routers: [a:1]}\n  - {name: west, routers: [b:1]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set := func(args ...string) (int, string) {
		status, printed, said := command(t, append([]string{"checkpoint", "set"}, args...)...)
		return status, printed + said
	}
	refused := func(says string, args ...string) {
		t.Helper()
		if status, said := set(args...); status != exitUsage || !strings.Contains(said, says) {
			t.Errorf("set %s: status %d, want %d; it says %q, want %q in it", args, status, exitUsage, said, says)
		}
	}
	taken := func(args ...string) {
		t.Helper()
		if status, said := set(args...); status != exitDone {
			t.Errorf("set %s: status %d: %s", args, status, said)
		}
	}
	mysql, maria := "gtid:"+uuid+":1-7", "gtid:0-1-7"
	refused("--cluster esat: neither the configuration nor the checkpoint has such a cluster; did you mean east?", "--config", file, "--cluster", "esat", "--to", mysql)
	refused("there is east, west", "--config", file, "--cluster", "antarctica", "--to", mysql)
	refused("--to "+maria+": the set is mariadb's, and the source is mysql", "--config", file, "--source", "mysql://u@127.0.0.1:1", "--cluster", "east", "--to", maria)
	refused("--to "+mysql+": the set is mysql's, and the source is mariadb", "--config", file, "--source", "mariadb://u@127.0.0.1:1", "--cluster", "east", "--to", mysql)
	refused("has to be looked up", "--config", file, "--cluster", "east", "--to", "now")
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("what was refused has made the state_dir: %v", err)
	}
	taken("--config", file, "--cluster", "east", "--to", mysql)
	refused("the set is mariadb's, and the cluster's position is mysql's", "--config", file, "--cluster", "east", "--to", maria)
	// Whom only the checkpoint knows, as after a change of the configuration.
	taken("--state-dir", state, "--cluster", "east", "--to", "gtid:"+uuid+":1-8")
	refused("did you mean east?", "--state-dir", state, "--cluster", "easy", "--to", mysql)
	// Nobody is known yet.
	taken("--state-dir", filepath.Join(dir, "other"), "--cluster", "first", "--to", maria)
}

func TestLookingForACheckpointMakesNone(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if status, printed, said := command(t, "checkpoint", "show", "--state-dir", state); status != exitDone || !strings.Contains(printed, "no checkpoint in "+state) {
		t.Errorf("show: status %d, %q, %q", status, printed, said)
	}
	if status, _, said := command(t, "checkpoint", "drop", "--state-dir", state, "--cluster", "east"); status != exitFailed || !strings.Contains(said, "there is no state_dir "+state) {
		t.Errorf("drop: status %d, %q", status, said)
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("the state_dir is there: %v", err)
	}
	_, help, _ := command(t, "checkpoint", "drop", "--help")
	for flag, shown := range map[string]bool{"--cluster": true, "--state-dir": true, "--config": true, "--tag": false, "--tls-ca": false, "--on-gap": false} {
		if strings.Contains(help, flag+" ") != shown {
			t.Errorf("the help of checkpoint drop shows %s: %v", flag, !shown)
		}
	}
}
