// Command remove is the half of remove.sh that is ours: it makes a tree of aged files, walks it,
// cleans it or evicts from it, with the code that the exporter runs.
//
//	remove make DIR FILES    files of four kilobytes or none, 1000 to a folder, ages spread over ten days
//	remove scan DIR          one walk
//	remove plain DIR         remove all, without looking whether anyone has them open
//	remove clean DIR         the action clean_temp, every check
//	remove evict DIR KEEP    the action evict_cache, down to KEEP files
//	remove make-tree DIR FILES   DIR/job, one old tree of empty files, 100 to a folder
//	remove tree DIR FILES        remove DIR/job as one, every check
//	remove tree-plain DIR FILES  the same without looking whether anything in it is open
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const perFolder = 1000

func main() {
	debug.SetGCPercent(50) // as the exporter does
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "remove:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("give a command (make, scan, plain, clean, evict, make-tree, tree, tree-plain) and a folder")
	}
	number := 0
	if len(args) > 2 {
		var err error
		if number, err = strconv.Atoi(args[2]); err != nil {
			return fmt.Errorf("%q is not a number of files: %w", args[2], err)
		}
	}
	var files int64
	var err error
	switch dir := args[1]; args[0] {
	case "make":
		return makeTree(dir, number)
	case "scan":
		files, err = scanTree(ctx, dir)
	case "plain":
		files, err = plain(ctx, dir)
	case "clean":
		folders := false // find leaves them, too
		p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Hour), RemoveEmptyDirs: &folders}
		files, err = act(ctx, action.NewDirs(options(), policy.KindTemp, &policy.Folders{TempDirs: []policy.Temp{p}}))
	case "evict":
		all := units.Ratio(1)
		p := policy.Cache{Common: common(dir), MaxEntries: int64(number), EvictTo: &all}
		files, err = act(ctx, action.NewDirs(options(), policy.KindCache, &policy.Folders{Caches: []policy.Cache{p}}))
	case "make-tree":
		return makeJob(dir, number)
	case "tree", "tree-plain":
		files, err = removeTree(dir, number, args[0] == "tree-plain")
	default:
		return fmt.Errorf("unknown command %q: write make, scan, plain, clean, evict, make-tree, tree or tree-plain", args[0])
	}
	if err != nil {
		return err
	}
	peak, err := peakMemory()
	fmt.Println(files, "files, at most", peak, "resident")
	return err
}

// peakMemory returns the largest resident size that this process has had.
func peakMemory() (string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value), nil
}

func options() action.DirOptions {
	return action.DirOptions{Target: "bench", Logger: slog.New(slog.DiscardHandler)}
}

// common measures ages by mtime: the files have just been made, and find is given the same.
func common(dir string) policy.Common {
	return policy.Common{Name: "bench", Dir: dir, Include: []string{"*"}, AgeBy: policy.AgeMtime}
}

func act(ctx context.Context, a action.Action) (int64, error) {
	res, err := a.Run(ctx, action.Request{})
	if err == nil && res.Outcome != action.Done {
		err = fmt.Errorf("%s: %s", res.Outcome, res.Detail)
	}
	return res.Files, err
}

func plain(ctx context.Context, dir string) (files int64, err error) {
	now := time.Now()
	r := safefs.NewRemover(safefs.Options{
		Dir: dir, MinAge: time.Hour, Now: now, NoInUse: true,
		AgeNs: func(e *dirscan.Entry) int64 { return e.MtimeNs },
	})
	defer r.Close()
	_, err = dirscan.Scan(ctx, dirscan.Options{Dir: dir, Recursive: true, Visit: func(e *dirscan.Entry) error {
		if _, why := r.Remove(e); why == safefs.Removed {
			files++
		}
		return nil
	}})
	return files, err
}

// makeTree makes files whose ages are distinct and in no order. File i of the order by age is
// (10 days - i seconds) old, so that remove.sh can show find where the oldest 30 % end.
func makeTree(dir string, n int) error {
	base := time.Unix(time.Now().Unix(), 0).Add(-240 * time.Hour)
	for i := range n {
		if i%perFolder == 0 {
			if err := os.MkdirAll(filepath.Join(dir, strconv.Itoa(i/perFolder)), 0o755); err != nil {
				return err
			}
		}
		path := filepath.Join(dir, strconv.Itoa(i/perFolder), strconv.Itoa(i))
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return err
		}
		rank := (i * 7919) % n
		at := base.Add(time.Duration(rank) * (8 * 24 * time.Hour / time.Duration(n)))
		if err := os.Chtimes(path, at, at); err != nil {
			return err
		}
		if rank == n*3/10-1 { // the last one that an eviction of 30 % takes
			fmt.Println(at.UnixNano())
		}
	}
	return nil
}
