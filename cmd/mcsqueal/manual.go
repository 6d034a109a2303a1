package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/mcsqueal/mcsqueal/release"
)

// newManualCommand is for whoever packages mcsqueal: deploy/release calls it.
func newManualCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "manual DIR",
		Short:  "Write manual pages and shell completions into a folder",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true // it has the date of the day
			for _, folder := range []string{"man", "completions"} {
				if err := os.MkdirAll(filepath.Join(args[0], folder), 0o755); err != nil {
					return fmt.Errorf("make a folder for the manual: %w", err)
				}
			}
			header := &doc.GenManHeader{Title: "MCSQUEAL", Section: "1", Source: "mcsqueal " + release.Version(), Manual: "mcsqueal"}
			if err := doc.GenManTree(root, header, filepath.Join(args[0], "man")); err != nil {
				return fmt.Errorf("write the manual pages: %w", err)
			}
			if err := completeManual(filepath.Join(args[0], "man", "mcsqueal.1")); err != nil {
				return err
			}
			return writeCompletions(root, filepath.Join(args[0], "completions"))
		},
	}
}

// writeCompletions writes what the completion command prints, under the names that the
// shells look for.
func writeCompletions(root *cobra.Command, dir string) error {
	for name, generate := range map[string]func(*bytes.Buffer) error{
		"mcsqueal":      func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) },
		"_mcsqueal":     func(b *bytes.Buffer) error { return root.GenZshCompletion(b) },
		"mcsqueal.fish": func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) },
	} {
		var text bytes.Buffer
		if err := generate(&text); err != nil {
			return fmt.Errorf("generate the completions %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write the completions: %w", err)
		}
	}
	return nil
}

// manualSections are what the main page has beside what the flags say of themselves.
const manualSections = `.SH EXIT STATUS
.TP
.B 0
Done; or a daemon that was told to stop has stopped.
.TP
.B 1
It failed, which the last line on standard error explains. Trying again may help.
.TP
.B 2
A mistake on the command line or in the configuration.
.TP
.B 3
Every cluster waits for a decision about a gap in the log.

.SH SIGNALS
.TP
.B SIGTERM, SIGINT
A daemon reads no more, delivers what it has for at most ten seconds, saves its checkpoint and ends.
.TP
.B SIGHUP
A daemon reads its configuration again and changes over to it, or refuses it and goes on.

.SH ENVIRONMENT
.TP
.B MCSQUEAL_PASSWORD
The password of the source's account, unless password_file names a file that has it.
.TP
.B MCSQUEAL_ADMIN_TOKEN
The token that the admin listener asks for, and that status shows, unless a token_file has it.
.TP
.B XDG_STATE_HOME
Where the state directory is, unless the configuration says so and for everybody but root.
.TP
.B NO_COLOR
If it is set, check prints no colours.

.SH FILES
.TP
.B /etc/mcsqueal/mcsqueal.yaml
The configuration that the systemd unit starts the daemon with. /usr/share/doc/mcsqueal/examples/mcsqueal.yaml has every setting.
.TP
.B /etc/default/mcsqueal
Environment variables for the systemd unit, of which a password may be one.
.TP
.B /var/lib/mcsqueal
The checkpoint: how far each cluster has acknowledged.

`

// completeManual puts the sections in front of SEE ALSO.
func completeManual(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("complete the manual: %w", err)
	}
	before, after, ok := strings.Cut(string(text), ".SH SEE ALSO")
	if !ok {
		return fmt.Errorf("complete the manual: %s has no SEE ALSO", path)
	}
	if err := os.WriteFile(path, []byte(before+manualSections+".SH SEE ALSO"+after), 0o644); err != nil {
		return fmt.Errorf("complete the manual: %w", err)
	}
	return nil
}
