package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/mcsqueal/mcsqueal/release"
)

func newVersionCommand(env environment) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(env.stdout, release.Line("mcsqueal"))
			return err
		},
	}
}
