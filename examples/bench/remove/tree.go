package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// inTree is how many files of a tree lie in one folder.
const inTree = 100

// makeJob makes one old tree, DIR/job, of empty files.
func makeJob(dir string, n int) error {
	old := time.Now().Add(-24 * time.Hour)
	folders := []string{filepath.Join(dir, "job")}
	for i := range n {
		folder := filepath.Join(folders[0], strconv.Itoa(i/inTree))
		if i%inTree == 0 {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
			folders = append(folders, folder)
		}
		path := filepath.Join(folder, strconv.Itoa(i))
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return err
		}
		if err := os.Chtimes(path, old, old); err != nil {
			return err
		}
	}
	for _, folder := range folders {
		if err := os.Chtimes(folder, old, old); err != nil {
			return err
		}
	}
	return nil
}

// removeTree removes DIR/job, whose size is taken as known: a scan finds it, which scan measures.
func removeTree(dir string, files int, plain bool) (int64, error) {
	job := filepath.Join(dir, "job")
	var st unix.Stat_t
	if err := unix.Stat(job, &st); err != nil {
		return 0, err
	}
	now := time.Now()
	r := safefs.NewRemover(safefs.Options{
		Dir: dir, MinAge: time.Hour, Now: now, NoInUse: plain,
		AgeNs: func(e *dirscan.Entry) int64 { return e.MtimeNs },
	})
	defer r.Close()
	_, gone, why := r.RemoveTree(safefs.Tree{Path: "job", Dev: st.Dev, Ino: st.Ino, NewestNs: now.UnixNano(), Files: int64(files)})
	if why != safefs.Removed {
		return gone, fmt.Errorf("the tree stays: %s", why)
	}
	return gone, nil
}

// scanTree walks DIR, as finds a tree.
func scanTree(ctx context.Context, dir string) (int64, error) {
	res, err := dirscan.Scan(ctx, dirscan.Options{Dir: dir, Recursive: true, Now: time.Now()})
	return res.Files, err
}
