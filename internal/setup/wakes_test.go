package setup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
	"github.com/spillway-exporter/spillway_exporter/internal/wake"
)

func TestSubjectsOf(t *testing.T) {
	dir := t.TempDir()
	slice, service := filepath.Join(dir, "shop.slice"), filepath.Join(dir, "shop.slice", "app.service")
	limit := func(cgroup, max string) {
		if err := errors.Join(os.MkdirAll(cgroup, 0o755), os.WriteFile(filepath.Join(cgroup, "memory.max"), []byte(max+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	v2 := cgroup.Group{Dirs: []string{service, slice, dir}, Unified: true}
	v1 := cgroup.Group{Dirs: []string{"/v1/app", "/v1"}}
	bytes := []int64{70, 85, 95}
	tests := []struct {
		name           string
		service, slice string
		groups         []cgroup.Group
		want           []wake.Subject
	}{
		{"its own limit", "1000", "2000", []cgroup.Group{v2}, []wake.Subject{{Target: "a", CgroupDir: service}}},
		{"a limit above", "max", "2000", []cgroup.Group{v2}, []wake.Subject{{Target: "a", CgroupDir: service}, {Target: "a", CgroupDir: slice}}},
		{"no limit", "max", "max", []cgroup.Group{v2}, []wake.Subject{{Target: "a", CgroupDir: service}}},
		{"version 1", "max", "max", []cgroup.Group{v1}, []wake.Subject{{Target: "a", CgroupDir: "/v1/app", Thresholds: bytes}}},
		{"the top of a hierarchy", "max", "max", []cgroup.Group{{Dirs: []string{dir}, Unified: true}}, nil},
		{"no cgroup", "max", "max", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limit(service, tt.service)
			limit(slice, tt.slice)
			got := subjectsOf("a", tt.groups, bytes)
			if !slices.EqualFunc(got, tt.want, func(a, b wake.Subject) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
				t.Errorf("%+v\nwant %+v", got, tt.want)
			}
		})
	}
}
