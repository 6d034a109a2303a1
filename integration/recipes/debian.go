package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// ruby is Ruby with Rails' parts. A tree that is not the system's root has to be told
// where everything is.
var ruby = &language{
	name: "ruby", suite: "trixie", packages: []string{"ruby", "ruby-activerecord", "ruby-mysql2"},
	prepare: func(ctx context.Context, tree, _ string, args []string) (*exec.Cmd, error) {
		var folders []string
		for _, pattern := range []string{
			"usr/lib/*/ruby/vendor_ruby/*", "usr/lib/ruby/vendor_ruby", "usr/lib/*/ruby/3*", "usr/lib/ruby/3*",
		} {
			found, err := filepath.Glob(filepath.Join(tree, pattern))
			if err != nil {
				return nil, fmt.Errorf("look for libraries: %w", err)
			}
			folders = append(folders, found...)
		}
		gems, err := filepath.Glob(filepath.Join(tree, "usr/share/rubygems-integration/*"))
		if err != nil {
			return nil, fmt.Errorf("look for gems: %w", err)
		}
		plugins, err := filepath.Glob(filepath.Join(tree, "usr/lib/*/libmariadb3/plugin"))
		if err != nil {
			return nil, fmt.Errorf("look for the client's plug-ins: %w", err)
		}
		program, err := filepath.Glob(filepath.Join(tree, "usr/bin/ruby3*"))
		if err != nil || len(program) == 0 {
			return nil, fmt.Errorf("no ruby in %s (%w)", tree, err)
		}
		name, err := filepath.Rel(tree, program[0])
		if err != nil {
			return nil, fmt.Errorf("name ruby: %w", err)
		}
		cmd, err := servers.CommandIn(ctx, tree, name, args...)
		if err != nil {
			return nil, err
		}
		cmd.Env = append(os.Environ(), "RUBYLIB="+strings.Join(folders, ":"), "GEM_PATH="+strings.Join(gems, ":"),
			"MARIADB_PLUGIN_DIR="+strings.Join(plugins, ":"), "LANG=C.UTF-8")
		return cmd, nil
	},
}

// php is PHP with Laravel's database layer.
var php = &language{
	name: "php", suite: "trixie", packages: []string{"php-cli", "php-mysql", "php-illuminate-database"},
	prepare: func(ctx context.Context, tree, _ string, args []string) (*exec.Cmd, error) {
		extensions, err := filepath.Glob(filepath.Join(tree, "usr/lib/php/2*"))
		if err != nil || len(extensions) == 0 {
			return nil, fmt.Errorf("no PHP in %s (%w)", tree, err)
		}
		program, err := filepath.Glob(filepath.Join(tree, "usr/bin/php8*"))
		if err != nil || len(program) == 0 {
			return nil, fmt.Errorf("no PHP in %s (%w)", tree, err)
		}
		name, err := filepath.Rel(tree, program[0])
		if err != nil {
			return nil, fmt.Errorf("name PHP: %w", err)
		}
		options := []string{"-n", "-d", "include_path=.:" + filepath.Join(tree, "usr/share/php"), "-d", "extension_dir=" + extensions[0]}
		for _, extension := range []string{"pdo", "mysqlnd", "pdo_mysql", "ctype", "mbstring"} {
			if _, err := os.Stat(filepath.Join(extensions[0], extension+".so")); err == nil {
				options = append(options, "-d", "extension="+extension)
			}
		}
		return servers.CommandIn(ctx, tree, name, append(options, args...)...)
	},
}
