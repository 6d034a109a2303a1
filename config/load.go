package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Load reads the file at path over the defaults. Where a field takes variables, getenv
// says what ${NAME} stands for. What it returns has yet to be validated, since flags may
// still change it. An *Error means that the file has to be changed; any other error that
// it could not be read.
func Load(path string, getenv func(string) string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data, getenv)
}

// Parse reads a file's contents as Load does; name is what its mistakes call the
// file. Every error is an *Error.
func Parse(name string, data []byte, getenv func(string) string) (*Config, error) {
	d := decoder{file: name, getenv: getenv, places: make(map[string]string), anchors: make(map[string]ast.Node)}
	c := Default()
	c.places = d.places
	if body := d.parse(data); body != nil {
		d.value(body, "", reflect.ValueOf(c).Elem(), false)
	}
	if err := d.mistakes.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// parse is the only document in data, or nil if there is none or data is not YAML.
func (d *decoder) parse(data []byte) (body ast.Node) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	for i, line := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(line) {
			d.mistake(i+1, "", "the line is not UTF-8; write the file in UTF-8")
			return nil
		}
	}
	file, err := parseYAML(data)
	if err != nil {
		line, text := 1, err.Error()
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			text = syntax.GetMessage()
			if token := syntax.GetToken(); token != nil && token.Position != nil {
				line = token.Position.Line
			}
		}
		text, _, _ = strings.Cut(text, "\n")
		if strings.Contains(text, "character '\t'") {
			d.mistake(line, "", "this is not YAML: a tab indents the line; use spaces")
			return nil
		}
		d.mistake(line, "", "this is not YAML: %s; a value with a bracket, a brace, a # or a colon in it may need quotes", text)
		return nil
	}
	for _, document := range file.Docs {
		switch document.Body.(type) {
		case nil, *ast.CommentGroupNode, *ast.CommentNode, *ast.DirectiveNode:
			continue
		}
		if body != nil {
			d.mistake(line(document.Body), "", "a second document begins here; a configuration is one")
			return nil
		}
		body = document.Body
	}
	return body
}

// parseYAML keeps a panic of the parser from being ours: a file that nobody meant
// to be a configuration has to end in a sentence.
func parseYAML(data []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey()) // mapping tells of duplicates
}
