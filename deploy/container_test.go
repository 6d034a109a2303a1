package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/tools"
)

// image builds a target of the container file, runs a command in what comes of it,
// and gives what is said of it all.
func image(t *testing.T, target string, command ...string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("building a container needs root")
	}
	on(t, "unshare")
	_, err := exec.Command("unshare", "--mount", "true").Output()
	need(t, "mounts of its own", err)
	buildah, err := tools.Buildah(t.Context())
	need(t, "buildah", err)
	work := t.TempDir()
	if err := os.Mkdir(filepath.Join(work, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/container/build")
	if err != nil {
		t.Fatal(err)
	}
	out := said(t, exec.Command(script, append([]string{buildah, work, target}, command...)...), nil)
	_, inspected, _ := strings.Cut(out, "== image\n")
	inspected, rest, _ := strings.Cut(inspected, "== files\n")
	var built struct {
		OCIv1 struct{ Config map[string]any }
	}
	if err := json.Unmarshal([]byte(inspected), &built); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	config, err := json.Marshal(built.OCIv1.Config)
	if err != nil {
		t.Fatal(err)
	}
	return string(config) + "\n== files\n" + rest
}

// holds looks for lines in what was said.
func holds(t *testing.T, out string, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// The image has the program, a folder for the checkpoint and nothing else, and runs as
// nobody in particular.
func TestTheContainerHasNothingButTheDaemon(t *testing.T) {
	out := image(t, "mcsqueal", "/usr/bin/mcsqueal", "version")
	holds(t, out,
		`"User":"65532:65532"`, `"Entrypoint":["/usr/bin/mcsqueal"]`, `"Cmd":["run","--config=/etc/mcsqueal/mcsqueal.yaml"]`,
		`"Volumes":{"/var/lib/mcsqueal":{}}`, "XDG_STATE_HOME=/var/lib",
		"\nusr/bin/mcsqueal root:root 755\n", "\netc/ssl/certs/ca-certificates.crt root:root ", "\nvar/lib/mcsqueal 65532:65532 ",
		"== run\nmcsqueal v1.2.3 ")
	_, files, _ := strings.Cut(out, "== files\n")
	files, _, _ = strings.Cut(files, "== run\n")
	for line := range strings.Lines(files) {
		path, _, _ := strings.Cut(line, " ")
		if !strings.HasPrefix("usr/bin/mcsqueal", path) && !strings.HasPrefix("var/lib/mcsqueal", path) && !strings.HasPrefix("etc/ssl/certs/ca-certificates.crt", path) {
			t.Errorf("the image has %s", path)
		}
	}
	holds(t, image(t, "mccache", "/usr/bin/mccache", "-V"),
		`"User":"65532:65532"`, `"Entrypoint":["/usr/bin/mccache"]`, "\nusr/bin/mccache root:root 755\n", "== run\n")
}
