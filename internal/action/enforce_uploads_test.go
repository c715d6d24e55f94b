package action

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// uploads makes a folder with a file of each kind.
func uploads(t *testing.T) (dir string, p policy.Upload) {
	t.Helper()
	dir = realDir(t) + "/up"
	put(t, dir+"/huge", 64<<10, 10*time.Minute)
	put(t, dir+"/sub/huge", 64<<10, 2*time.Hour)
	put(t, dir+"/old", 4096, 2*time.Hour)
	put(t, dir+"/third", 4096, 30*time.Minute)
	put(t, dir+"/second", 4096, 40*time.Minute)
	put(t, dir+"/first", 4096, 50*time.Minute)
	put(t, dir+"/now", 4096, 0)
	put(t, dir+"/huge-now", 64<<10, 0)
	p = policy.Upload{Common: common(dir), MaxFileBytes: 32 << 10, MaxBytes: 16 << 10, MaxAge: units.Duration(time.Hour)}
	floor := units.Duration(time.Minute)
	p.MinAge, p.SizeBy = &floor, policy.SizeApparent
	return dir, p
}

// TestEnforceUploads: too large, too old, then the oldest; the dry run names the same files.
func TestEnforceUploads(t *testing.T) {
	for _, quarantine := range []bool{false, true} {
		t.Run(fmt.Sprintf("quarantine %v", quarantine), func(t *testing.T) {
			dir, p := uploads(t)
			if quarantine {
				p.Quarantine = realDir(t)
			}
			create := func(o DirOptions) Action { return newEnforceUploads(o, []policy.Upload{p}) }
			before := left(t, dir)
			planned, dry := named(t, true, Request{}, create)
			if diff := gocmp.Diff(before, left(t, dir)); diff != "" || dry.Outcome != DryRun {
				t.Errorf("%s: a dry run changed the folder:\n%s", dry.Outcome, diff)
			}
			names, res := named(t, false, Request{}, create)
			// huge-now goes later and counts for nothing; 4 KiB of now stay in any case, and the other 12 may.
			want := []string{"expired old", "oversized huge", "oversized sub/huge"}
			if diff := gocmp.Diff(want, names); diff != "" {
				t.Errorf("removed (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(planned, names); diff != "" {
				t.Errorf("the dry run named others (-planned +removed):\n%s", diff)
			}
			r := res.Policies[0]
			wantResult := PolicyResult{
				Target: "svc", Policy: "p", Kind: policy.KindUpload, Dir: dir, Quarantine: p.Quarantine, Files: 3, Bytes: 2*(64<<10) + 4096, Scanned: 8,
				FreedBytes: r.FreedBytes, Skipped: map[string]int64{"too_young": 1}, Outcome: Partial,
				DueAt: r.DueAt, MissingBytes: 64 << 10, Over: true, Error: "64KiB over the limit could not be removed (too_young=1)",
			}
			if r.DueAt.IsZero() {
				t.Error("huge-now is due later, and the result does not say when")
			}
			if diff := gocmp.Diff(wantResult, r); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			moved := 0
			if quarantine {
				moved = len(left(t, p.Quarantine))
			}
			switch {
			case quarantine && (moved != 3 || r.FreedBytes != 0):
				t.Errorf("%d files in the quarantine, %d bytes freed, want 3 and 0", moved, r.FreedBytes)
			case !quarantine && r.FreedBytes < 2*(64<<10):
				t.Errorf("%d bytes freed", r.FreedBytes)
			}
			p.MaxBytes = 11 << 10 // two of the three have to go, the oldest
			names, _ = named(t, false, Request{}, create)
			if diff := gocmp.Diff([]string{"over_limit first", "over_limit second"}, names); diff != "" {
				t.Errorf("down to max_bytes (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff([]string{"huge-now", "now", "third"}, left(t, dir)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// An upload that is open is passed over. The next oldest goes in its place where only a limit takes it, and
// none where it goes by itself as soon as it is closed.
func TestEnforceUploadsWhileWritten(t *testing.T) {
	dir, p := uploads(t)
	for _, name := range []string{"/huge", "/first"} {
		f, err := os.OpenFile(dir+name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	p.MaxBytes = 15 << 10 // huge is open and goes later; the others are 4 each, so that one of four has to go
	names, res := named(t, false, Request{}, func(o DirOptions) Action { return newEnforceUploads(o, []policy.Upload{p}) })
	if diff := gocmp.Diff([]string{"expired old", "over_limit second", "oversized sub/huge"}, names); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	if res.Skipped["in_use"] != 2 || res.Outcome != Partial || res.Policies[0].MissingBytes != 125<<10 {
		t.Errorf("%+v", res.Policies[0])
	}
}

func TestMaxRemoveFractionOfUploads(t *testing.T) {
	dir, p := uploads(t)
	p.MaxBytes = 12 << 10 // three go by themselves and one as the oldest: four of eight
	for share, refused := range map[units.Ratio]bool{.49: true, .5: false} {
		p.MaxRemoveFraction = &share
		res, _ := newEnforceUploads(dirOptions(), []policy.Upload{p}).Run(t.Context(), Request{DryRun: true})
		if got := strings.Contains(res.Policies[0].Error, ErrTooMany.Error()); got != refused || refused && res.Files != 0 {
			t.Errorf("%s: %+v, want refused: %v", share, res.Policies[0], refused)
		}
	}
	share := units.Ratio(.1)
	p.MaxRemoveFraction = &share
	res, err := newEnforceUploads(dirOptions(), []policy.Upload{p}).Run(t.Context(), Request{Force: true})
	if err != nil || res.Files != 4 || len(left(t, dir)) != 4 {
		t.Errorf("forced: %+v, %v", res, err)
	}
}

// A quarantine that is not there, or not fit, fails the policy before the first file.
func TestEnforceUploadsWithoutQuarantine(t *testing.T) {
	dir, p := uploads(t)
	before := left(t, dir)
	for quarantine, want := range map[string]string{dir + "-none": "mkdir -m 0700", dir + "/sub": "share files"} {
		p.Quarantine = quarantine
		for _, dry := range []bool{true, false} {
			res, err := newEnforceUploads(dirOptions(), []policy.Upload{p}).Run(t.Context(), Request{DryRun: dry})
			if err != nil || res.Outcome != Failed || !strings.Contains(res.Detail, want) {
				t.Errorf("%s: %+v, %v", quarantine, res, err)
			}
		}
	}
	if diff := gocmp.Diff(before, left(t, dir)); diff != "" {
		t.Errorf("the folder changed:\n%s", diff)
	}
}

// TestFractionOfNothing: with a guard and nothing that may go by its age, nothing breaks.
func TestFractionOfNothing(t *testing.T) {
	share := units.Ratio(.5)
	dir := realDir(t)
	put(t, dir+"/a", 10, 2*time.Hour)
	c := policy.Cache{Common: common(dir), MaxAge: units.Duration(time.Hour), MaxEntries: 10}
	c.MaxRemoveFraction = &share
	res, err := newEvictCache(dirOptions(), []policy.Cache{c}).Run(t.Context(), Request{})
	if err != nil || errors.Is(err, ErrTooMany) || !strings.Contains(res.Detail, "1 of 1") || len(left(t, dir)) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}
