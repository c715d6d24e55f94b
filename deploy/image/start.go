package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// readStart reads from the last stage of a Dockerfile how the image is started. It knows the
// instructions that ours has and rejects others, so that none is lost.
func readStart(path string, o *options) (v1.Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return v1.Config{}, err
	}
	return parseStart(string(text), o)
}

func parseStart(text string, o *options) (v1.Config, error) {
	c := v1.Config{Labels: map[string]string{}, ExposedPorts: map[string]struct{}{}, Volumes: map[string]struct{}{}}
	_, last, found := cutLast(text, "\nFROM scratch\n")
	if !found {
		return c, fmt.Errorf("the Dockerfile has no last stage FROM scratch")
	}
	expand := strings.NewReplacer("$VERSION", o.version, "$REVISION", o.revision, "$CREATED", o.created.Format(time.RFC3339))
	for line := range strings.Lines(last) {
		line = strings.TrimSpace(line)
		instruction, value, _ := strings.Cut(line, " ")
		var err error
		switch instruction {
		case "", "#", "ARG":
		case "COPY":
			if value != "--from=build /out/ /" {
				err = fmt.Errorf("files come from the stage build alone")
			}
		case "USER":
			c.User = value
		case "EXPOSE":
			c.ExposedPorts[value+"/tcp"] = struct{}{}
		case "VOLUME":
			c.Volumes[value] = struct{}{}
		case "ENTRYPOINT":
			err = json.Unmarshal([]byte(value), &c.Entrypoint)
		case "CMD":
			err = json.Unmarshal([]byte(value), &c.Cmd)
		case "LABEL":
			key, quoted, ok := strings.Cut(value, "=")
			if ok = ok && len(quoted) > 1 && quoted[0] == '"' && quoted[len(quoted)-1] == '"'; !ok {
				err = fmt.Errorf(`write one key="value"`)
				break
			}
			c.Labels[key] = expand.Replace(quoted[1 : len(quoted)-1])
		default:
			err = fmt.Errorf("unknown instruction in the last stage")
		}
		if err != nil {
			return c, fmt.Errorf("the Dockerfile: %q: %w", line, err)
		}
	}
	return c, nil
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
