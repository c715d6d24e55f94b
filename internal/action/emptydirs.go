package action

// removeEmptyDirs removes the empty folders of a policy, where it is to, before its files: those that the run
// itself empties are young, and go with a later one.
func (r *dirRun) removeEmptyDirs(wanted bool) error {
	if !wanted {
		return nil
	}
	out, err := r.remover.RemoveEmptyDirs(r.ctx, r.keeps)
	r.res.Folders += out.Removed
	for why, n := range out.Skipped {
		r.res.Skipped[string(why)] += n
	}
	return err
}

// keeps reports whether a folder has a name that the policy keeps.
func (r *dirRun) keeps(name []byte) bool {
	r.opts.heart.beat()
	return r.names.Keeps(name)
}

// saidFolders adds the folders that were removed to what is said, where there were any.
func saidFolders(res *PolicyResult, args []any) []any {
	if res.Folders > 0 {
		args = append(args, "folders", res.Folders)
	}
	return args
}
