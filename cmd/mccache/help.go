package main

import (
	"fmt"
	"strings"
)

const licenseText = "mccache is part of mcsqueal, whose licence is in the file LICENSE of its source.\n"

// helpText lists all flags.
func helpText() string {
	var b strings.Builder
	b.WriteString("mccache: a cache server for memcached's clients. Its flags are memcached's.\n\n")
	for _, f := range allFlags() {
		arg, help, ok := strings.Cut(f.help, "|")
		if !ok {
			arg, help = "", f.help
		}
		name := ""
		if f.short != 0 {
			name = "-" + string(f.short)
		}
		if f.long != "" {
			if name != "" {
				name += ", "
			} else {
				name = "    "
			}
			name += "--" + f.long
			if arg != "" {
				name += "="
			}
		} else {
			name += " "
		}
		line(&b, name+arg, help)
	}
	b.WriteString("\nElements of -o:\n")
	var without []string
	for _, o := range suboptions() {
		switch {
		case o.help == "":
			without = append(without, o.name)
		case o.arg == argNone:
			line(&b, o.name, o.help)
		default:
			line(&b, o.name+"=", o.help)
		}
	}
	b.WriteString("\nAccepted in -o, without effect:\n")
	wrap(&b, strings.Join(without, " "), 2)
	return b.String()
}

const helpColumn = 34

// line writes a name and what it means, in columns.
func line(b *strings.Builder, name, help string) {
	fmt.Fprintf(b, "%-*s ", helpColumn-1, name)
	if len(name) >= helpColumn {
		b.WriteByte('\n')
		b.WriteString(strings.Repeat(" ", helpColumn))
	}
	var text strings.Builder
	wrap(&text, help, helpColumn)
	b.WriteString(text.String()[helpColumn:])
}

// wrap writes text in lines of at most 100 columns, each behind so many blanks.
func wrap(b *strings.Builder, text string, indent int) {
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
			b.WriteString(strings.Repeat(" ", indent))
			column = indent
		case column+1+len(word) > 100:
			b.WriteByte('\n')
			b.WriteString(strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
}
