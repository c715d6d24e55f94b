package action

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// TestPatience: a run over a folder that stops answering is given up, the next policy has its turn, and
// what the first one still says is not heard.
func TestPatience(t *testing.T) {
	for _, dry := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			hung, well := realDir(t), realDir(t)
			put(t, hung+"/a", 1, time.Minute)
			put(t, well+"/b", 1, 2*time.Hour)
			answers := make(chan struct{})
			var heard []string
			hear := naming(func(path, _ string) { heard = append(heard, path) })
			o := dirOptions()
			o.Patience, o.Now = 15*time.Second, time.Now
			o.Free = func(dir string) (policy.Free, error) {
				if dir == hung {
					<-answers
					return policy.Free{}, nil // it is full: "a" would go
				}
				return policy.Free{Bytes: 1 << 40, Inodes: 1 << 20}, nil
			}
			cache := func(name, dir string) policy.Cache {
				c := policy.Cache{Common: common(dir), MaxAge: units.Duration(time.Hour), MinFreeBytes: 1}
				c.Name = name
				return c
			}
			start := time.Now()
			res, err := newEvictCache(o, []policy.Cache{cache("hung", hung), cache("well", well)}).Run(t.Context(), Request{DryRun: dry, OnFile: hear})
			took := time.Since(start)
			close(answers)
			synctest.Wait()
			if got := left(t, hung); len(got) != 1 {
				t.Errorf("dry run %v: in the folder that hung: %q", dry, got)
			}
			if err != nil || len(res.Policies) != 2 {
				t.Fatalf("%+v %v", res, err)
			}
			want, whole := Unknown, Unknown
			if dry {
				want, whole = Failed, Partial
			}
			first, second := res.Policies[0], res.Policies[1]
			if first.Outcome != want || !strings.Contains(first.Error, hung+`" has not answered for 15s: check whether the server of its mount is alive`) || res.Outcome != whole {
				t.Errorf("dry run %v: %+v", dry, res)
			}
			if second.Files != 1 || len(heard) != 1 || took < 15*time.Second || took > 20*time.Second {
				t.Errorf("dry run %v: the other folder %+v, heard %q, after %s", dry, second, heard, took)
			}
		})
	}
}

// TestPatienceWaits: a run that is slow and goes on is not given up, nor one that says that it takes long.
func TestPatienceWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := DirOptions{Patience: 10 * time.Second}
		res := patiently(t.Context(), Request{}, &o, PolicyResult{}, func(_ context.Context, _ Request, o *DirOptions) PolicyResult {
			for range 10 {
				<-time.After(8 * time.Second)
				o.heart.beat()
			}
			resume := o.heart.pause()
			<-time.After(time.Hour)
			resume()
			<-time.After(8 * time.Second)
			return PolicyResult{Outcome: Done}
		})
		if res.Outcome != Done {
			t.Errorf("%+v", res)
		}
	})
}
