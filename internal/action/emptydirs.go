package action

import "slices"

// removeEmptyDirs removes the empty folders of a policy, where it is to, before its files: those that the run
// itself empties are young, and go with a later one. A proposal names files: folders stay.
func (r *dirRun) removeEmptyDirs(wanted bool) error {
	if !wanted || r.req.Choice != nil {
		return nil
	}
	out, err := r.remover.RemoveEmptyDirs(r.ctx, r.keepsFolder)
	r.res.Folders += out.Removed
	for why, n := range out.Skipped {
		r.res.Skipped[string(why)] += n
	}
	return err
}

// keepsFolder reports whether a folder stays, also when it is empty: the policy keeps or excludes it, or it is
// one that a policy names.
func (r *dirRun) keepsFolder(path []byte) bool {
	r.opts.heart.beat()
	return r.names.KeepsFolder(path) || slices.Contains(r.opts.Places, r.common.Dir+"/"+string(path))
}

// saidFolders adds the folders that were removed to what is said, where there were any.
func saidFolders(res *PolicyResult, args []any) []any {
	if res.Folders > 0 {
		args = append(args, "folders", res.Folders)
	}
	return args
}
