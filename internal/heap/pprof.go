package heap

func newPprof(p *Pool, cfg Config) (backend, error) { return nil, ErrNotConfigured }
