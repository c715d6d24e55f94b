package heap

func newInspector(p *Pool, cfg Config) (backend, error) { return nil, ErrNotConfigured }
