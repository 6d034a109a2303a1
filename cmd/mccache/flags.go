package main

import (
	"fmt"
	"strings"
)

// flag is one of the command's options.
type flag struct {
	short byte // 0: none
	long  string
	arg   argument
	help  string
	// set takes the argument, empty without one.
	set func(s *settings, arg string) error
}

// argument says whether a flag takes one.
type argument uint8

const (
	argNone argument = iota
	argRequired
	// argOptional is taken only as --flag=ARG.
	argOptional
)

// parseFlags reads arguments as getopt_long(3) does, since init scripts and
// configuration files are written for that: -m 64, -m64, -dm 64, --memory-limit 64,
// --memory-limit=64, --mem=64 as far as it is unambiguous, flags behind other words, and
// -- before what is no flag. It returns the words that belong to no flag.
func parseFlags(flags []flag, args []string, s *settings) (words []string, err error) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return append(words, args...), nil
		case strings.HasPrefix(arg, "--"):
			args, err = parseLong(flags, arg[2:], args, s)
		case len(arg) > 1 && arg[0] == '-':
			args, err = parseShort(flags, arg[1:], args, s)
		default:
			words = append(words, arg)
		}
		if err != nil {
			return nil, err
		}
	}
	return words, nil
}

func parseLong(flags []flag, arg string, rest []string, s *settings) ([]string, error) {
	name, value, given := strings.Cut(arg, "=")
	f, err := findLong(flags, name)
	if err != nil {
		return nil, err
	}
	switch {
	case given && f.arg == argNone:
		return nil, usagef("--%s takes no argument, but has %q", f.long, value)
	case !given && f.arg == argRequired:
		if len(rest) == 0 {
			return nil, usagef("--%s needs an argument; --help tells which", f.long)
		}
		value, rest = rest[0], rest[1:]
	}
	return rest, apply(f, "--"+f.long, value, s)
}

// findLong finds a flag by its name or an unambiguous beginning of it.
func findLong(flags []flag, name string) (*flag, error) {
	var found []*flag
	for i := range flags {
		f := &flags[i]
		if f.long == name {
			return f, nil
		}
		if strings.HasPrefix(f.long, name) {
			found = append(found, f)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 || name == "":
		return nil, usagef("unknown flag --%s; --help lists them", name)
	}
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = "--" + f.long
	}
	return nil, usagef("--%s may be any of %s", name, strings.Join(names, ", "))
}

func parseShort(flags []flag, cluster string, rest []string, s *settings) ([]string, error) {
	for i := range len(cluster) {
		f := findShort(flags, cluster[i])
		if f == nil {
			return nil, usagef("unknown flag -%c; -h lists them", cluster[i])
		}
		if f.arg != argRequired {
			if err := apply(f, "-"+cluster[i:i+1], "", s); err != nil {
				return nil, err
			}
			continue
		}
		value := cluster[i+1:]
		if value == "" {
			if len(rest) == 0 {
				return nil, usagef("-%c needs an argument; -h tells which", f.short)
			}
			value, rest = rest[0], rest[1:]
		}
		return rest, apply(f, "-"+cluster[i:i+1], value, s)
	}
	return rest, nil
}

func findShort(flags []flag, letter byte) *flag {
	for i := range flags {
		if flags[i].short == letter {
			return &flags[i]
		}
	}
	return nil
}

func apply(f *flag, as, value string, s *settings) error {
	if err := f.set(s, strings.TrimLeft(value, " \t")); err != nil {
		return fmt.Errorf("%s: %w", as, err)
	}
	return nil
}
