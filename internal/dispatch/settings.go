package dispatch

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// maxTexts bounds a list of a step.
const maxTexts = 1000

// unmarshalSetting reads a key that belongs to the settings of an action.
func (s *Step) unmarshalSetting(key string, v *yaml.Node) error {
	switch key {
	case "argv":
		return texts(v, &s.Argv)
	case "env":
		return texts(v, &s.Env)
	case "hosts":
		return texts(v, &s.Hosts)
	case "all":
		return scalar(v, func(text string) (err error) {
			if s.All, err = strconv.ParseBool(text); err != nil || v.Tag != "!!bool" {
				return fmt.Errorf("%q is not a switch: write true or false", text)
			}
			return nil
		})
	case "amount":
		return scalar(v, func(text string) error { return s.Amount.UnmarshalText([]byte(text)) })
	}
	into := map[string]*string{"url": &s.URL, "body": &s.Body, "token_file": &s.TokenFile, "signal": &s.Signal}[key]
	return scalar(v, func(text string) error {
		if text == "" {
			return errors.New("is empty: write a value or remove the key")
		}
		*into = text
		return nil
	})
}

// texts reads a list of single values. An empty list is not nil.
func texts(n *yaml.Node, out *[]string) error {
	if n.Kind != yaml.SequenceNode {
		return errors.New("is not a list: write [a, b]")
	}
	if len(n.Content) > maxTexts {
		return fmt.Errorf("%d entries are too many: write at most %d", len(n.Content), maxTexts)
	}
	*out = make([]string, 0, len(n.Content))
	for i, v := range n.Content {
		for v.Kind == yaml.AliasNode && v.Alias != v {
			v = v.Alias
		}
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			return fmt.Errorf("entry %d is not a single value: write a text", i+1)
		}
		*out = append(*out, v.Value)
	}
	return nil
}

// passesAlertOn reports whether a step passes the alert on. Only then a run keeps it.
func passesAlertOn(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Do == ActionCommand || s.Do == ActionHTTP })
}
