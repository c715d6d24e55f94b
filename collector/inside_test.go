package collector

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// TestDirSourceInside: a folder of a target is absent while its process is away, and not empty.
func TestDirSourceInside(t *testing.T) {
	b := newDirBench(t)
	b.file("a.json", 10, time.Hour)
	there := true
	c := b.common()
	c.Dir, c.TargetRoot = "/tmp", true
	src, err := NewDir(DirOptions{Target: "svc", Kind: policy.KindTemp, Policy: &policy.Temp{Common: c, MaxFiles: 7, MaxAge: units.Duration(time.Minute)}, Open: func() (dirscan.Opened, error) {
		if !there {
			return dirscan.Opened{}, dirscan.ErrAway
		}
		fd, err := unix.Open(b.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return dirscan.Opened{FD: fd}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, there = range []bool{true, false, true} {
		err := b.sample(t.Context(), src)
		want := "temp_expired_files 1, temp_files 1"
		if !there {
			want = "temp_max_files 7"
		}
		if got := b.published(); (err == nil) != there || errors.Is(err, ErrAbsent) == there || src.Away() == there || len(got) < len(want) {
			t.Errorf("there %v: %v, away %v, published %s", there, err, src.Away(), got)
		} else if !there && got != want {
			t.Errorf("away: published %s, want %s", got, want)
		}
	}
}
