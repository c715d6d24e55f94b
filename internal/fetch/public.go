package fetch

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// hidden stands for the path and the query of a URL, which may be a secret, as those of chat services are.
const hidden = "/…"

// PublicURL returns what may be shown of a URL to everyone who reads the page, the journal or the log: scheme,
// host and port. "" is what cannot be read as one.
func PublicURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return ""
	}
	out := u.Scheme + "://" + u.Host
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		out += hidden
	}
	return out
}

var urlInText = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]+`)

// PublicText shortens each URL in a text to what may be shown of it.
func PublicText(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return urlInText.ReplaceAllStringFunc(text, func(raw string) string {
		if shown := PublicURL(raw); shown != "" {
			return shown
		}
		return "…"
	})
}

// ErrNotHTTP says that what answers does not speak HTTP.
var ErrNotHTTP = errors.New("what it answers is not HTTP")

// PublicError returns the cause of an error of net/http or net/url, whose own text holds the whole URL and of an
// answer that is malformed the first line.
func PublicError(err error) error {
	for {
		wrapped, ok := errors.AsType[*url.Error](err)
		if !ok {
			break
		}
		err = wrapped.Err
	}
	if err != nil && strings.Contains(err.Error(), "malformed ") {
		return ErrNotHTTP
	}
	return err
}
