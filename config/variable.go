package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// variable is ${NAME}, which stands for what the environment has under that name. It
// does so in the fields whose tag is env:"expanded", and nowhere else: a pattern, a
// rule or a prefix may have a dollar and a brace of its own.
var variable = regexp.MustCompile(`\$\{([^}]*)\}?`)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand puts in what getenv has for every variable in text.
func expand(text string, getenv func(string) string) (string, error) {
	var err error
	expanded := variable.ReplaceAllStringFunc(text, func(found string) string {
		name, closed := strings.CutSuffix(strings.TrimPrefix(found, "${"), "}")
		value := ""
		switch {
		case err != nil:
		case !closed || !variableName.MatchString(name):
			// What it is may be a password, so it is not repeated.
			err = errors.New("a ${ begins no variable; write one like ${NAME}")
		default:
			value = getenv(name)
			if value == "" {
				err = fmt.Errorf("the environment variable %s is not set, or is empty; set it, or write the value here", clip(name))
			} else if strings.Contains(value, "${") {
				err = fmt.Errorf("the environment variable %s holds another one, which is not looked up; set it to the value itself", clip(name))
			}
		}
		return value
	})
	if err != nil {
		return "", err
	}
	return expanded, nil
}

// noVariable says that what looks like a variable would be taken literally.
func noVariable(text string) (problem string) {
	if !strings.Contains(text, "${") {
		return ""
	}
	return fmt.Sprintf("%q has ${, and no variable is looked up in this field; write the value itself", clip(text))
}
