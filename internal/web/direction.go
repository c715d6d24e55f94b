package web

import "bytes"

// bidi are the characters that turn the direction of what is written after them. No one sees them, and a process, a container
// or a file may have any name: with one of them "Approve clean_temp of x" could read as something else.
var bidi = []string{"\u061c", "\u200e", "\u200f", "\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"}

// oneDirection returns a page with a sign in place of each of them. Letters that are written from right to left stay as they are.
func oneDirection(page []byte) []byte {
	for _, c := range bidi {
		if bytes.Contains(page, []byte(c)) {
			page = bytes.ReplaceAll(page, []byte(c), []byte("\ufffd"))
		}
	}
	return page
}
