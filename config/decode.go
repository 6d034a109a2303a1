package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// decoder puts a YAML document into a Config. The parser's own decoder is not used:
// it stops at the first mistake, speaks of Go's types to people who write YAML, and
// forgets where a good value stood, which Validate has to tell.
//
//	mapping   struct, by the yaml tag of its fields; << merges
//	sequence  slice; it replaces the default, it does not add to it
//	scalar    a type that reads text, time.Duration, string, int, uint32; variables in
//	          it are expanded where the field's tag says so
//	null      whatever was there before: the default
type decoder struct {
	file     string
	getenv   func(string) string
	places   map[string]string
	anchors  map[string]ast.Node
	mistakes mistakes
}

func (d *decoder) place(line int) string { return fmt.Sprintf("%s:%d", d.file, line) }

func (d *decoder) mistake(line int, path, format string, args ...any) {
	d.mistakes.add(d.place(line), path, format, args...)
}

// line is where a node begins.
func line(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1
	}
	return n.GetToken().Position.Line
}

// value puts n into v, which holds the default. Variables in a scalar are expanded if
// variables says so.
func (d *decoder) value(n ast.Node, path string, v reflect.Value, variables bool) {
	n = d.resolve(n, path)
	if n == nil || n.Type() == ast.NullType {
		return
	}
	_, readsText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case !readsText && v.Kind() == reflect.Struct:
		mapping, ok := n.(ast.MapNode)
		if !ok {
			d.mistake(line(n), path, "takes fields: %s", strings.Join(fields(v.Type()), ", "))
			return
		}
		d.mapping(mapping, path, v, false)
	case v.Kind() == reflect.Slice:
		sequence, ok := n.(ast.ArrayNode)
		if !ok {
			d.mistake(line(n), path, "takes a list; write [one, another], or each on a line of its own behind a hyphen")
			return
		}
		d.sequence(sequence, path, v, variables)
	default:
		text, ok := scalar(n)
		if !ok {
			d.mistake(line(n), path, "takes a single value; with brackets, braces or a colon in it, put it in quotes")
			return
		}
		if variables {
			expanded, err := expand(text, d.getenv)
			if err != nil {
				d.mistake(line(n), path, "%s", err)
				return
			}
			text = expanded
		}
		if err := setText(v, text); err != nil {
			d.mistake(line(n), path, "%s", err)
		}
	}
}

// mapping puts the entries of n into the fields of v. What is merged comes first,
// so that what is written out wins.
func (d *decoder) mapping(n ast.MapNode, path string, v reflect.Value, merged bool) {
	for entries := n.MapRange(); entries.Next(); {
		if !entries.Key().IsMergeKey() {
			continue
		}
		if merged {
			// One level is what anybody needs, and what cannot go round in circles.
			d.mistake(line(entries.Key()), path, "what is merged with << may not itself merge")
			continue
		}
		d.merge(entries.Value(), path, v)
	}
	known := fields(v.Type())
	first := make(map[string]int, len(known))
	for entries := n.MapRange(); entries.Next(); {
		key := entries.Key()
		if key.IsMergeKey() {
			continue
		}
		name := key.GetToken().Value
		i := slices.Index(known, name)
		if i < 0 {
			d.mistake(line(key), join(path, clip(name)), "%s", unknownField(name, known))
			continue
		}
		field := join(path, name)
		if at, twice := first[name]; twice {
			d.mistake(line(key), field, "is given on line %d already; keep one of them", at)
			continue
		}
		first[name] = line(key)
		d.places[field] = d.place(line(key))
		at := fieldNamed(v.Type(), name)
		d.value(entries.Value(), field, v.FieldByIndex(at.Index), at.Tag.Get("env") == "expanded")
	}
}

// merge is <<: a mapping, or a list of them of which the first wins.
func (d *decoder) merge(n ast.Node, path string, v reflect.Value) {
	from := []ast.Node{n}
	if sequence, ok := d.resolve(n, path).(ast.ArrayNode); ok {
		from = from[:0]
		for elements := sequence.ArrayRange(); elements.Next(); {
			from = append(from, elements.Value())
		}
		slices.Reverse(from)
	}
	for _, n := range from {
		mapping, ok := d.resolve(n, path).(ast.MapNode)
		if !ok {
			d.mistake(line(n), path, "<< takes what an anchor (&name) stands before, as *name, with fields in it")
			continue
		}
		d.mapping(mapping, path, v, true)
	}
}

func (d *decoder) sequence(n ast.ArrayNode, path string, v reflect.Value, variables bool) {
	v.SetZero()
	list := reflect.MakeSlice(v.Type(), 0, 0)
	for elements := n.ArrayRange(); elements.Next(); {
		element := reflect.New(v.Type().Elem())
		if e, ok := element.Interface().(interface{ setDefaults() }); ok {
			e.setDefaults()
		}
		at := fmt.Sprintf("%s[%d]", path, list.Len())
		d.places[at] = d.place(line(elements.Value()))
		d.value(elements.Value(), at, element.Elem(), variables)
		list = reflect.Append(list, element.Elem())
	}
	v.Set(list)
}

// resolve is the node an anchor stands before or an alias stands for; nil, and a
// mistake, where there is none.
func (d *decoder) resolve(n ast.Node, path string) ast.Node {
	at := line(n)
	for range 8 { // an anchor before an alias of itself goes on for ever
		switch node := n.(type) {
		case *ast.AnchorNode:
			d.anchors[node.Name.GetToken().Value] = node.Value
			n = node.Value
		case *ast.AliasNode:
			name := node.Value.GetToken().Value
			target, ok := d.anchors[name]
			if !ok {
				d.mistake(at, path, "*%s stands for nothing; write &%s before the value it repeats", clip(name), clip(name))
				return nil
			}
			n = target
		case *ast.TagNode:
			d.mistake(at, path, "a type (%s) has no place here; leave it out", clip(node.Start.Value))
			return nil
		default:
			return n
		}
	}
	d.mistake(at, path, "the alias leads back to itself; write the value out")
	return nil
}

// scalar is a scalar's text as it was written, quotes undone.
func scalar(n ast.Node) (string, bool) {
	switch node := n.(type) {
	case *ast.StringNode:
		return node.Value, true
	case *ast.LiteralNode:
		return node.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	case ast.MapNode:
		return plainWithColon(node)
	default:
		return "", false
	}
}

// plainWithColon is the text of what the parser takes for a mapping of one entry, and
// is a plain scalar: a colon with no white space behind it is a part of one (YAML
// 1.2.2, section 7.3.3), which github.com/goccy/go-yaml/issues/832 overlooks in a
// list within braces. There a list of host:port is what it is about.
func plainWithColon(n ast.MapNode) (string, bool) {
	entries := n.MapRange()
	if !entries.Next() {
		return "", false
	}
	entry := entries.KeyValue()
	if entries.Next() || entry.Start == nil {
		return "", false
	}
	before, colon, after := entry.Key.GetToken(), entry.Start.Position, entry.Value.GetToken()
	if _, nested := entry.Value.(ast.MapNode); nested {
		return "", false
	}
	text, ok := scalar(entry.Value)
	if !ok || quoted(before) || quoted(after) ||
		before.Position.Offset+utf8.RuneCountInString(before.Value) != colon.Offset ||
		colon.Offset+1 != after.Position.Offset {
		return "", false
	}
	return before.Value + ":" + text, true
}

func quoted(t *token.Token) bool {
	return t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType
}

// setText puts the text of a scalar into v.
func setText(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	case *time.Duration:
		duration, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a time; write it with a unit, like 500ms, 30s or 1m30s", clip(text))
		}
		*p = duration
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return nil
	case reflect.Bool:
		// YAML's other words for them, like yes and on, mean text to most of its readers.
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false; write one of the two", clip(text))
		}
		v.SetBool(text == "true")
		return nil
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number; write digits, like 2", clip(text))
		}
		v.SetInt(n)
		return nil
	case reflect.Uint32:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number; write one from 0 to %d", clip(text), ^uint32(0))
		}
		v.SetUint(n)
		return nil
	default:
		panic(fmt.Sprintf("config: no way to read a %s", v.Type())) // a field of a type nobody taught this function
	}
}

// fields are the names a struct's fields have in YAML, in their order.
func fields(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if f.IsExported() {
			names = append(names, fieldName(f))
		}
	}
	return names
}

func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

// fieldNamed is the field of t that has a name in YAML; there is one.
func fieldNamed(t reflect.Type, name string) reflect.StructField {
	fields := reflect.VisibleFields(t)
	return fields[slices.IndexFunc(fields, func(f reflect.StructField) bool { return f.IsExported() && fieldName(f) == name })]
}

// unknownField says what was probably meant.
func unknownField(name string, known []string) string {
	// What is nearly right where it stands was meant for there.
	if near, ok := nearest(name, known); ok {
		return fmt.Sprintf("unknown field; did you mean %s?", near)
	}
	if parent := parentOf(reflect.TypeFor[Config](), "", name); parent != "" {
		return "unknown field; it belongs under " + parent
	}
	return "unknown field; here can stand " + strings.Join(known, ", ")
}

// parentOf is the path of the first structure below t, which is at path, that has a
// field of that name; empty if none has, or if only the top level does.
func parentOf(t reflect.Type, path, name string) string {
	if path != "" && slices.Contains(fields(t), name) {
		return path
	}
	for _, f := range reflect.VisibleFields(t) {
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if !f.IsExported() || inner.Kind() != reflect.Struct {
			continue
		}
		if found := parentOf(inner, join(path, fieldName(f)), name); found != "" {
			return found
		}
	}
	return ""
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// clip keeps what somebody wrote short and on one line when it is repeated to them.
func clip(s string) string {
	const limit = 64
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
