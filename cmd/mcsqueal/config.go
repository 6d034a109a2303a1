package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcsqueal/mcsqueal/config"
)

func newConfigCommand(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config [--config FILE]",
		Short: "Print the effective configuration, without secrets: defaults, then the file, then the flags",
		Long: `Print the effective configuration: defaults, overridden by the file, overridden by the
flags, with its variables put in. What is printed is a configuration itself. There are
no secrets in it: passwords are read from the environment or from files when they are
used, and only where they come from is said.`,
		Args: noArgs,
	}
	s := bindSettings(cmd, env)
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := s.load()
		if err != nil {
			return err
		}
		if c.StateDir, err = s.stateDir(c); err != nil {
			return err
		}
		text, err := c.YAML()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(env.stdout, "%s%s", s.heading(c), text)
		return err
	}
	return cmd
}

// heading says, as YAML's comments, where a configuration is from, and where what is
// not printed is.
func (s *settings) heading(c *config.Config) string {
	from := []string{"defaults"}
	if s.file != "" {
		from = append(from, s.file)
	}
	from = append(from, "flags")
	password := "none is given"
	if where := c.Source.PasswordFrom(s.env.getenv); where != "" {
		password = "in " + where
	}
	// A file's name may have a line's end in it, which would end the comment.
	line := func(text string) string { return "# " + strings.Join(strings.Fields(text), " ") + "\n" }
	return line("The effective configuration: "+strings.Join(from, ", overridden by ")+".") +
		line("The source's password: "+password+".")
}
