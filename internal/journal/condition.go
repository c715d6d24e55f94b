package journal

// Writable reports whether the last write succeeded and the disk answers. It is true before the
// first.
func (j *Journal) Writable() bool {
	j.mu.Lock()
	closed := j.readOnly || j.closed
	j.mu.Unlock()
	return !closed && j.Failure() == nil
}

// Failure returns why the journal cannot be written: an ErrDamaged when it is given up, an
// ErrNoAnswer while the disk does not answer, else the error of the last write; nil when that
// succeeded.
func (j *Journal) Failure() error {
	j.mu.Lock()
	damage, failure, held := j.damage, j.failure, j.held
	j.mu.Unlock()
	if damage != nil {
		return damage
	}
	if c := held.custody(); c != nil {
		if err := c.silent(); err != nil {
			return err
		}
	}
	return failure
}

// damaged notes that the file is given up.
func (j *Journal) damaged(why error) {
	j.mu.Lock()
	j.damage = why
	j.mu.Unlock()
	j.opts.Logger.Error("the journal is damaged: no action runs until the exporter is reloaded or restarted", "path", j.path, "err", why)
}

// wrote notes how a write ended.
func (j *Journal) wrote(err error, p pending) {
	j.mu.Lock()
	before := j.failure == nil
	j.failure = err
	if j.damage != nil {
		before = err == nil // it was logged
	}
	if err == nil {
		j.written(p)
	}
	j.mu.Unlock()
	switch {
	case before && err != nil:
		j.opts.Logger.Error("the journal cannot be written: no action runs until it can", "path", j.path, "err", err)
	case !before && err == nil:
		j.opts.Logger.Info("the journal can be written again", "path", j.path)
	}
}
