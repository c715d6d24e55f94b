package policy

import (
	"bytes"
	"regexp"
	"strconv"
	"time"
)

// The names that a rotation makes: app.log.20260102T150405Z, or with date_ext app.log-20260102, with -2
// and so on where two fall into one second or day, and .gz.
const (
	stampForm      = "20060102T150405Z"
	dayForm        = "20060102"
	rotationPrefix = ".spillway-rotate-"
	rotationSuffix = ".tmp"
	gzipSuffix     = ".gz"
)

// RotatedName returns the name that a log gets when it is rotated. serial counts those of one
// second, from 1.
func RotatedName(log string, at time.Time, serial int, compressed bool) string {
	return Naming{}.Rotated(log, at, serial, compressed)
}

// Naming is how rotated logs are named and recognised.
type Naming struct {
	Daily     bool // date_ext
	SelfDated bool // self_dated
}

// Naming returns how the rotated logs of the policy are named.
func (l *Log) Naming() Naming { return Naming{l.DateExt, l.SelfDated} }

// Rotated returns the name that a log gets when it is rotated. serial counts those of one second, or day,
// from 1. A day is one of this host's time zone.
func (n Naming) Rotated(log string, at time.Time, serial int, compressed bool) string {
	name := log + "." + at.UTC().Format(stampForm)
	if n.Daily {
		name = log + "-" + at.Local().Format(dayForm)
	}
	if serial > 1 {
		name += "-" + strconv.Itoa(serial)
	}
	if compressed {
		name += gzipSuffix
	}
	return name
}

// Compressed returns the name that a rotated log gets when it is compressed.
func Compressed(name string) string { return name + gzipSuffix }

// RotationTemp returns the name of a file that is being written alongside a log.
func RotationTemp(ino uint64, pid int) string {
	return rotationPrefix + strconv.FormatUint(ino, 10) + "-" + strconv.Itoa(pid) + rotationSuffix
}

// IsRotationTemp reports whether a name is that of a file which a rotation was writing.
func IsRotationTemp(name []byte) bool {
	return bytes.HasPrefix(name, []byte(rotationPrefix)) && bytes.HasSuffix(name, []byte(rotationSuffix))
}

// Rotation is what the name of a rotated log says.
type Rotation struct {
	Log        []byte    // what the names of one log have in common: its name, or of self-dated files the name around the date; a part of what was parsed
	At         time.Time // when it was rotated, or where only the day is known when that began
	Day        bool      // only the day is known
	Own        bool      // the program that writes it has dated it
	Serial     int
	Compressed bool
}

// Known returns when a log had been rotated for certain: a day that has not ended may yet see it.
func (r *Rotation) Known() time.Time {
	if r.Day {
		return r.At.AddDate(0, 0, 1)
	}
	return r.At
}

// ParseRotated takes the name of a rotated log apart; ok is false for any other name.
func ParseRotated(name []byte) (r Rotation, ok bool) { return Naming{}.Parse(name) }

// Parse takes the name of a rotated log apart; ok is false for any other name.
func (n Naming) Parse(name []byte) (r Rotation, ok bool) {
	rest, compressed := bytes.CutSuffix(name, []byte(gzipSuffix))
	if r, ok = parseStamped(rest, '.', stampForm, time.UTC); !ok && n.Daily {
		r, ok = parseStamped(rest, '-', dayForm, time.Local)
		r.Day = true
	}
	if !ok && n.SelfDated {
		r, ok = parseDated(rest)
	}
	r.Compressed = compressed
	return r, ok
}

// parseStamped reads the name of a log, a separator, a time, and the serial where that is above 1.
func parseStamped(name []byte, sep byte, form string, zone *time.Location) (r Rotation, ok bool) {
	r.Serial = 1
	if i := bytes.LastIndexByte(name, '-'); i > 0 { // of the serial, or of a day
		if n, ok := parseSerial(name[i+1:]); ok && len(name)-i-1 < len(dayForm) {
			r.Serial, name = n, name[:i]
		}
	}
	i := len(name) - len(form) - 1
	if i < 1 || name[i] != sep {
		return r, false
	}
	at, err := time.ParseInLocation(form, string(name[i+1:]), zone)
	if err != nil {
		return r, false
	}
	r.Log, r.At = name[:i], at
	return r, true
}

func parseSerial(text []byte) (n int, ok bool) {
	n, err := strconv.Atoi(string(text))
	return n, err == nil && n >= 2 && text[0] != '0' && text[0] != '+'
}

// The parts of the name of a self-dated file: what comes before the day, the day, and the hours,
// minutes or numbers that may follow it, by which files of one day are in order.
var datedName = regexp.MustCompile(`^(.*?[^0-9]|)((?:19|20|21)[0-9]{2})([-_.]?)([0-9]{2})([-_.]?)([0-9]{2})((?:[-_.T:][0-9]{1,6}){0,4})([^0-9].*|)$`)

// parseDated reads a name with a day in it: catalina.2026-01-02.log, app-20260102.3.log,
// access_log.2026-01-02-15.
func parseDated(name []byte) (r Rotation, ok bool) {
	m := datedName.FindSubmatch(name)
	if m == nil || len(m[3]) != len(m[5]) || len(m[1])+len(m[8]) == 0 {
		return r, false
	}
	at, err := time.ParseInLocation(dayForm, string(m[2])+string(m[4])+string(m[6]), time.Local)
	if err != nil {
		return r, false
	}
	for part := range bytes.FieldsFuncSeq(m[7], func(c rune) bool { return c < '0' || c > '9' }) {
		n, _ := strconv.Atoi(string(part)) // six digits at most
		r.Serial = r.Serial*1_000_000 + n
	}
	r.Log = append(append(bytes.Clone(m[1]), '*'), m[8]...)
	r.At, r.Day, r.Own = at, true, true
	return r, true
}
