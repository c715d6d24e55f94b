package safefs

import (
	"testing"
	"time"
)

// TestFolderLocked: a folder that is locked keeps the files in it, and all below it, in a dry run too.
func TestFolderLocked(t *testing.T) {
	dir := tempDir(t)
	for _, name := range []string{"a/f", "locked/f", "locked/below/f", "z/f"} {
		aged(t, dir+"/"+name)
	}
	holdElsewhere("lock folder")(t, dir+"/locked")
	both(t, Options{Dir: dir, MinAge: time.Minute}, map[string]Reason{"a/f": Removed, "locked/f": InUse, "locked/below/f": InUse, "z/f": Removed})
	holdElsewhere("lock folder")(t, dir)
	aged(t, dir+"/g")
	both(t, Options{Dir: dir, MinAge: time.Minute}, map[string]Reason{"g": InUse, "locked/f": InUse, "locked/below/f": InUse})
}
