package health

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

func TestFolders(t *testing.T) {
	f := func(name string, samples []series.Sample, want ...Recommendation) {
		t.Helper()
		targets := Targets(samples)
		if len(targets) != 1 {
			t.Fatalf("%s: %d targets", name, len(targets))
		}
		if diff := cmp.Diff(want, targets[0].Recommendations); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	f("within", []series.Sample{sample(metric.UploadFiles, 3, "a", "up"), sample(metric.UploadSize, 100, "a", "up"), sample(metric.UploadMaxSize, 100, "a", "up"), sample(metric.UploadOversize, 0, "a", "up")},
		Recommendation{low, "System operating normally"})
	f("uploads", []series.Sample{
		sample(metric.UploadSize, 3<<20, "a", "up"), sample(metric.UploadMaxSize, 1<<20, "a", "up"),
		sample(metric.UploadOversize, 2, "a", "up"), sample(metric.UploadExpired, 5, "a", "up"),
	},
		Recommendation{medium, "Remove 2 files in up that are larger than one may be: frees 2 inodes and their space"},
		Recommendation{medium, "Remove 5 files in up that have expired: frees 5 inodes and their space"},
		Recommendation{medium, "Remove the oldest files in up: it holds 3MiB and its limit is 1MiB, which frees 2MiB"})
	f("logs", []series.Sample{sample(metric.LogOversize, 2, "a", "l"), sample(metric.LogExpired, 4, "a", "l")},
		Recommendation{medium, "Rotate 2 logs in l that are over their size: what is rotated can be compressed and removed"},
		Recommendation{low, "Remove 4 rotated logs in l that are more than are kept: frees 4 inodes and their space"})
}

// Uploads and logs of one name are two folders, uploads first.
func TestFoldersAreSorted(t *testing.T) {
	targets := Targets([]series.Sample{
		sample(metric.LogFiles, 1, "a", "x"), sample(metric.UploadFiles, 2, "a", "x"), sample(metric.UploadFiles, 3, "a", "b"),
		sample(metric.LogSize, 7, "a", "x"),
	})
	var got []string
	for _, f := range targets[0].Folders {
		got = append(got, f.Kind+" "+f.Name)
	}
	if diff := cmp.Diff([]string{"upload b", "upload x", "log x"}, got); diff != "" {
		t.Error(diff)
	}
	last := targets[0].Folders[2]
	if *last.Files != 1 || *last.SizeBytes != 7 || last.Over() {
		t.Errorf("%+v", last)
	}
	if n, ok := last.Due(); n != 0 || ok {
		t.Errorf("nothing is known to be due, and it is %v, %v", n, ok)
	}
}
