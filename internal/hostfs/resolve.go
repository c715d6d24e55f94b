package hostfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mostLinks is how many links of one path are followed, as in the kernel.
const mostLinks = 40

// Resolve returns the path of the file behind an absolute path of the host, without any link in it and
// as the host has it. A link never leads out of RootFS.
func (r Roots) Resolve(name string) (string, error) {
	done, rest := "/", name
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		switch part {
		case "", ".":
			continue
		case "..":
			done = filepath.Dir(done)
			continue
		}
		next := filepath.Join(done, part)
		link, err := os.Readlink(r.Join(next))
		switch {
		case errors.Is(err, unix.EINVAL): // not a link
			done = next
			continue
		case err != nil:
			return "", err
		}
		if links++; links > mostLinks {
			return "", &os.PathError{Op: "resolve", Path: name, Err: unix.ELOOP}
		}
		if filepath.IsAbs(link) {
			done = "/"
		}
		rest = link + "/" + rest
	}
	return done, nil
}
