package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestUploadJudge(t *testing.T) {
	f := func(u Upload, age time.Duration, size int64, want Verdict) {
		t.Helper()
		if got := u.Judge(aged(age, size), now); got != want {
			t.Errorf("max_file_bytes %v, max_age %v: %d bytes, %v old: %s, want %s", u.MaxFileBytes, u.MaxAge, size, age, got.Reason(), want.Reason())
		}
	}
	both := Upload{MaxFileBytes: 8192, MaxAge: units.Duration(time.Hour)}
	f(both, 30*time.Minute, 8192, NotDue)
	f(both, 30*time.Minute, 8193, Oversized)
	f(both, time.Hour, 1, Expired)
	f(both, time.Hour, 8193, Oversized)
	f(both, time.Hour-1, 1, NotDue)
	f(both, time.Minute-1, 8193, TooYoung)
	f(both, 0, 1, NotDue)
	f(both, -time.Hour, 8193, Future)
	f(both, -time.Hour, 1, Future)
	f(Upload{MaxBytes: 1}, 1000*time.Hour, 8193, NotDue)
	f(Upload{Common: Common{SizeBy: SizeApparent}, MaxFileBytes: 100}, time.Hour, 101, Oversized)
	f(Upload{Common: Common{SizeBy: SizeApparent}, MaxFileBytes: 101}, time.Hour, 101, NotDue)
}

func TestUploadValidate(t *testing.T) {
	good := Common{Name: "n", Dir: "/srv/a"}
	f := func(u Upload, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, mistakes(u.Validate)); diff != "" {
			t.Errorf("mistakes (-want +got):\n%s", diff)
		}
	}
	f(Upload{Common: good, MaxAge: 1, Quarantine: "/srv/q"})
	f(Upload{Common: good, MaxFileBytes: 2, MaxBytes: 2})
	f(Upload{Common: good}, "max_bytes: no limit is set: write at least one of max_file_bytes, max_bytes and max_age")
	f(Upload{Common: good, MaxFileBytes: 2048, MaxBytes: 1024}, "max_file_bytes: 2KiB for one file is more than max_bytes, 1KiB, for all: write less, or raise max_bytes")
	f(Upload{Common: good, MaxAge: 1, Quarantine: "q"}, `quarantine: "q" is not absolute: write the whole path from /`)
	f(Upload{Common: good, MaxAge: 1, Quarantine: "/srv/../q"}, `quarantine: "/srv/../q" is not clean: write "/q"`)
	strict := good
	strict.Strict = true
	f(Upload{Common: strict, MaxAge: 1, Quarantine: "/srv/q"}, "strict: is what quarantine does anyway: remove one of the two keys")
	u := Upload{Common: good, MaxAge: 1}
	mistakes(u.Validate)
	all := Upload{Common: good, MaxAge: 1}
	all.Include = []string{"*"}
	mistakes(all.Validate)
	for _, u := range []Upload{u, all} {
		if diff := cmp.Diff(everyName, u.Include); diff != "" {
			t.Errorf("include of all is not the default:\n%s", diff)
		}
	}
}
