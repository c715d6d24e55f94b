// Package pythonagent embeds the preload modules that let the exporter read the heap of a Python
// service that opens no port.
//
// FS contains the folder Dir, which an operator puts into PYTHONPATH of the service. The other end
// of it is the provider python_agent in internal/heap. This package only carries the files, for the
// command export to write out: nothing here runs them or installs them into a service.
package pythonagent
