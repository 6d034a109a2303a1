package config

import (
	"reflect"
)

// NeedsRestart are the paths of the fields in which next differs from c and which a
// running daemon cannot take over, those with the tag reload:"restart": what it is
// connected to, what it has locked, what it listens on. Everything else can be changed
// by a reload. Both are valid, or at least complete.
func (c *Config) NeedsRestart(next *Config) []string {
	return needsRestart(reflect.ValueOf(*c), reflect.ValueOf(*next), "", false)
}

// needsRestart compares the fields of two structs; all counts them whatever their tags.
func needsRestart(a, b reflect.Value, path string, all bool) (paths []string) {
	for _, f := range reflect.VisibleFields(a.Type()) {
		if !f.IsExported() {
			continue
		}
		counts := all || f.Tag.Get("reload") == "restart"
		at := join(path, fieldName(f))
		x, y := a.FieldByIndex(f.Index), b.FieldByIndex(f.Index)
		switch {
		case f.Type.Kind() == reflect.Struct && fieldName(reflect.VisibleFields(f.Type)[0]) != "":
			paths = append(paths, needsRestart(x, y, at, counts)...)
		case counts && !reflect.DeepEqual(x.Interface(), y.Interface()):
			paths = append(paths, at)
		}
	}
	return paths
}
