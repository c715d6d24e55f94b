package health

import (
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Folder is the state of one folder of uploaded files or of logs.
type Folder struct {
	Kind, Name                 string
	Files, SizeBytes, MaxBytes *float64
	Oversize, Expired          *float64 // files that are too large, and that the policy would remove for their age or number
}

// Over reports whether the files of a folder exceed its limit of their size.
func (f *Folder) Over() bool {
	size, ok := known(f.SizeBytes)
	limit, limited := known(f.MaxBytes)
	return ok && limited && size > limit
}

// Due returns how many files are too large or to be removed; ok is false where neither is known.
func (f *Folder) Due() (n float64, ok bool) {
	a, okA := known(f.Oversize)
	b, okB := known(f.Expired)
	return a + b, okA || okB
}

func recommendFolder(f *Folder, add func(priority, format string, args ...any)) {
	oversize, _ := known(f.Oversize)
	expired, _ := known(f.Expired)
	switch {
	case f.Kind == policy.KindLog && oversize > 0:
		add(medium, "Rotate %.0f logs in %s that are over their size: what is rotated can be compressed and removed", oversize, f.Name)
	case oversize > 0:
		add(medium, "Remove %.0f files in %s that are larger than one may be: frees %.0f inodes and their space", oversize, f.Name, oversize)
	}
	switch {
	case f.Kind == policy.KindLog && expired > 0:
		add(low, "Remove %.0f rotated logs in %s that are more than are kept: frees %.0f inodes and their space", expired, f.Name, expired)
	case expired > 0:
		add(medium, "Remove %.0f files in %s that have expired: frees %.0f inodes and their space", expired, f.Name, expired)
	}
	if f.Over() {
		add(medium, "Remove the oldest files in %s: it holds %s and its limit is %s, which frees %s", f.Name,
			units.Bytes(*f.SizeBytes).String(), units.Bytes(*f.MaxBytes).String(), units.Bytes(*f.SizeBytes-*f.MaxBytes).String())
	}
}
