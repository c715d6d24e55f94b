package hostfs

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// maxLineBytes is how long a secret may be.
const maxLineBytes = 4096

// ReadLine reads a file that holds one line of at most 4 KiB, as a token, a password and a URL are kept.
// The error names the file and shows nothing of what is in it.
func ReadLine(path string) (string, error) {
	raw, err := ReadFile(path, maxLineBytes)
	line := strings.TrimSpace(string(raw))
	switch {
	case err != nil:
		return "", fmt.Errorf("%q cannot be read (%w)", path, cmp.Or(errors.Unwrap(err), err))
	case line == "" || len(raw) > maxLineBytes || strings.ContainsAny(line, "\r\n\x00"):
		return "", fmt.Errorf("%q does not hold one line of at most 4 KiB", path)
	}
	return line, nil
}
